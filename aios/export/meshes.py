# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""A mesh file for every person of every frame."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from aios.results import FrameResult, SequenceResult, instance_mesh
from aios.structures import Mesh
from aios.utils.choices import check_choice
from aios.utils.safe_io import refuse_existing

from .exporter import Exporter
from .mesh_files import write_obj, write_ply

if TYPE_CHECKING:
    from aios.body_models import BodyModel

MESH_FORMATS: Mapping[str, Callable[..., None]] = {
    'obj': write_obj,
    'ply': write_ply,
}
"""Writers by suffix."""

AXES: Mapping[str, tuple[int, int, int]] = {
    'opencv': (1, 1, 1),  # x right, y down, z forward, as in the results
    'opengl': (1, -1, -1),  # x right, y up, z backward, as in most programs
}
"""Signs of the coordinates by the name of the axes."""

_CHUNK = 32  # meshes in memory at once


def person_meshes(
    sequence: SequenceResult, layer: BodyModel | None, axes: str = 'opencv'
) -> Iterator[tuple[int, Mesh]]:
    """Pose meshes of all persons, in constant memory.

    Args:
        sequence: The results.
        layer: Their body model; not used for bodies of
            :data:`aios.results.MESH_BODIES`.
        axes: A key of :data:`AXES`.

    Yields:
        Row and mesh, in the color of the person's id.

    Raises:
        ValueError: If the axes are unknown.
    """
    check_choice('axes', axes, AXES)
    signs = np.array(AXES[axes], np.float32)
    if layer is None or not sequence.has_parameters:
        vertices, faces = given_meshes(sequence)
        for row, points in enumerate(vertices):
            person = int(sequence.person_id[row])
            yield row, instance_mesh(points * signs, faces, person)
        return
    from aios.body_models import BodyPoser

    poser = BodyPoser(layer)
    for start in range(0, len(sequence), _CHUNK):
        rows = slice(start, start + _CHUNK)
        vertices = poser(sequence.parameters(rows)).vertices * signs
        for row, points in enumerate(vertices, start=start):
            person = int(sequence.person_id[row])
            yield row, instance_mesh(points, poser.faces, person)


def given_meshes(sequence: SequenceResult) -> tuple[np.ndarray, np.ndarray]:
    """Vertices ``(N, V, 3)`` and triangles of results.

    Raises:
        ValueError: If the results have none.
    """
    vertices, faces = sequence.vertices, sequence.faces
    if vertices is None or faces is None:
        missing = 'vertices' if vertices is None else 'faces'
        raise ValueError(
            f'bodies of the model {sequence.body_model!r} cannot be posed, '
            'only stored meshes are written, and these results have no '
            f'{missing}'
        )
    return vertices, faces


def write_meshes(
    sequence: SequenceResult,
    layer: BodyModel | None,
    folder: str | os.PathLike,
    kind: str = 'obj',
    *,
    axes: str = 'opencv',
    overwrite: bool = False,
    progress: bool = False,
) -> list[Path]:
    """Write ``FRAME_personID.obj`` or ``.ply`` for every person.

    Args:
        sequence: The results.
        layer: Their body model.
        folder: Folder of the files; made if missing.
        kind: A key of :data:`MESH_FORMATS`.
        axes: A key of :data:`AXES`.
        overwrite: Replace existing files.
        progress: Show a progress bar.

    Returns:
        The files.

    Raises:
        FileExistsError: If one of the files exists and ``overwrite`` is
            False; nothing is written then.
        ValueError: If an argument is not allowed, frames have the same name,
            or a name leads out of the folder.
    """
    check_choice('kind', kind, MESH_FORMATS)
    paths = _paths(sequence, Path(folder), kind)
    for path in paths:
        refuse_existing(path, overwrite)
    meshes = person_meshes(sequence, layer, axes)
    bar = tqdm(meshes, total=len(sequence), unit='mesh', disable=not progress)
    for row, mesh in bar:
        MESH_FORMATS[kind](mesh, paths[row], overwrite=overwrite)
    return paths


def _paths(sequence: SequenceResult, folder: Path, kind: str) -> list[Path]:
    names, counts = np.unique(sequence.frame_names, return_counts=True)
    if (counts > 1).any():
        raise ValueError(
            f'frame name {str(names[counts > 1][0])!r} occurs more than once; '
            'files are named after frames'
        )
    return [
        frame_file(
            folder, f'{sequence.frame_names[frame]}_person{person}.{kind}'
        )
        for frame, person in zip(
            sequence.frame_index, sequence.person_id, strict=True
        )
    ]


def frame_file(folder: Path, name: str) -> Path:
    """A file inside a folder; names come from untrusted files.

    Raises:
        ValueError: If the name leads out of the folder.
    """
    if Path(name).is_absolute() or '..' in Path(name).parts or '\0' in name:
        raise ValueError(
            f'frame name {name!r} leads to a file outside {folder}'
        )
    return folder / name


class MeshExporter(Exporter):
    """Meshes.

    Args:
        name: A key of :data:`MESH_FORMATS`.
        about: One line about it.
    """

    per = 'frame'
    product = 'mesh'
    flag, flag_help = '--save-mesh', 'a mesh for each person and frame'
    options = {  # noqa: RUF012
        '--axes': dict(
            choices=sorted(AXES),
            default='opencv',
            help='opencv: y down, as in the results; opengl: y up',
        )
    }

    def __init__(self, name: str, about: str) -> None:
        self.name, self.about, self.suffix = name, about, f'.{name}'

    def export(  # noqa: D102
        self, sequence: SequenceResult, layer: Any, path: Path, **options: Any
    ) -> tuple[list[Path], list[str]]:
        return write_meshes(sequence, layer, path, self.name, **options), []

    def write_frame(  # noqa: D102
        self, frame: FrameResult, faces: np.ndarray, folder: Path
    ) -> None:
        if not len(frame):
            return  # has no field of vertices
        for person, vertices in zip(
            frame.instances['person_id'].tolist(),
            frame.instances['vertices'],
            strict=True,
        ):
            path = folder / f'{frame.name}_person{person}{self.suffix}'
            mesh = instance_mesh(vertices, faces, person)
            MESH_FORMATS[self.name](mesh, path, overwrite=True)
