# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""A mesh file for every person of every frame."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from aios.results import FrameResult, SequenceResult, instance_mesh
from aios.structures import Mesh
from aios.utils.choices import check_choice
from aios.utils.safe_io import leaves_folder, refuse_existing

from .axes import world_axes
from .exporter import Exporter
from .mesh_files import write_obj, write_ply

if TYPE_CHECKING:
    from aios.body_models import BodyModel

MESH_FORMATS: Mapping[str, Callable[..., None]] = {
    'obj': write_obj,
    'ply': write_ply,
}
"""Writers by suffix."""

AXES = ('opencv', 'opengl')
"""Axes of meshes: x right, y down, z forward with the camera at the origin, as
in the results; or x right, y up, z backward, as in GLB and BVH files, with the
floor at y = 0 if the results have one."""

_CHUNK = 32  # meshes in memory at once


def person_meshes(
    sequence: SequenceResult, layer: BodyModel | None, axes: str = 'opencv'
) -> Iterator[tuple[int, Mesh]]:
    """Pose meshes of all persons, in constant memory.

    Args:
        sequence: The results.
        layer: Their body model; not used for bodies of
            :data:`aios.results.MESH_BODIES`.
        axes: One of :data:`AXES`.

    Yields:
        Row and mesh, in the color of the person's id.

    Raises:
        ValueError: If the axes are unknown.
    """
    check_choice('axes', axes, AXES)
    turn, position = np.eye(3, dtype=np.float32), np.zeros(3, np.float32)
    if axes == 'opengl':
        rotation, place = world_axes(sequence, 'y')
        turn = rotation.as_matrix().astype(np.float32)
        position = place.astype(np.float32)
    bodies, faces = _bodies(sequence, layer)
    for row, points in enumerate(bodies):
        person = int(sequence.person_id[row])
        yield row, instance_mesh(points @ turn.T + position, faces, person)


def _bodies(
    sequence: SequenceResult, layer: BodyModel | None
) -> tuple[Iterable[np.ndarray], np.ndarray]:
    """Vertices ``(V, 3)`` of each row, and triangles."""
    if layer is None or not sequence.has_parameters:
        return given_meshes(sequence)
    from aios.body_models import BodyPoser

    poser = BodyPoser(layer)
    pieces = (
        poser(sequence.parameters(slice(start, start + _CHUNK))).vertices
        for start in range(0, len(sequence), _CHUNK)
    )
    return chain.from_iterable(pieces), poser.faces


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
        axes: One of :data:`AXES`.
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
    for name in names.tolist():  # of untrusted files
        if leaves_folder(name):
            raise ValueError(
                f'frame name {name!r} leads to a file outside {folder}'
            )
    return [
        folder / f'{sequence.frame_names[frame]}_person{person}.{kind}'
        for frame, person in zip(
            sequence.frame_index, sequence.person_id, strict=True
        )
    ]


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
            choices=AXES,
            default='opencv',
            help='opencv: y down, as in the results; opengl: y up, and the '
            'floor at y = 0 if the results have one',
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
