# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Files that are written while frames come in.

A writer has ``write(frame, image)`` and is a context manager, which knows of
an error inside that there is more to come.  Those with
``per_frame`` write files of their own for each frame: in any order, by any
process, and not again when a run goes on.
:class:`aios.visualization.OverlayWriter` is one more.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from aios.export import FrameResult, PeopleSequence, write_ply
from aios.visualization import Mesh, instance_color, write_obj

__all__ = ['FrameWriter', 'MeshWriter', 'ParameterWriter']

_MESH_WRITERS = {'obj': write_obj, 'ply': write_ply}


class FrameWriter(Protocol):
    """Takes frames one after the other.

    Attributes:
        per_frame: Whether each frame has files of its own.
        needs_image: Whether it looks at the images.
        needs_vertices: Whether it needs meshes.
    """

    per_frame: bool = True
    needs_image: bool = False
    needs_vertices: bool = False

    def is_done(self, name: str) -> bool:
        """Whether an earlier run wrote the files of a frame."""
        return False

    def write(self, frame: FrameResult, image: np.ndarray | None) -> None:
        """Write a frame.

        Args:
            frame: Its people.
            image: ``(H, W, 3)`` uint8 RGB, not to be changed.
        """

    def __enter__(self) -> FrameWriter:
        return self

    def __exit__(self, *error: object) -> None:
        return


class ParameterWriter(FrameWriter):
    """``NAME.npz``: a :class:`~aios.export.PeopleSequence` of one frame.

    Args:
        folder: Where to.
        metadata: See :meth:`aios.export.PeopleSequence.from_frames`.
    """

    def __init__(self, folder: Path, metadata: dict) -> None:
        self.folder = folder
        self.metadata = metadata

    def is_done(self, name: str) -> bool:  # noqa: D102
        return (self.folder / f'{name}.npz').exists()

    def write(  # noqa: D102
        self, frame: FrameResult, image: np.ndarray | None
    ) -> None:
        people = {k: v for k, v in frame.people.items() if k != 'vertices'}
        bare = replace(frame, people=people)
        PeopleSequence.from_frames([bare], **self.metadata).save(
            self.folder / f'{frame.name}.npz', overwrite=True
        )


class MeshWriter(FrameWriter):
    """``NAME_personK.obj``: the mesh of each person, by id.

    Args:
        folder: Where to.
        faces: ``(F, 3)`` triangles.
        suffix: ``'obj'`` or ``'ply'``.
    """

    needs_vertices = True

    def __init__(
        self, folder: Path, faces: np.ndarray, suffix: str = 'obj'
    ) -> None:
        self.folder = folder
        self.faces = faces
        self.suffix = suffix

    def write(  # noqa: D102
        self, frame: FrameResult, image: np.ndarray | None
    ) -> None:
        people = frame.people
        if not len(frame):
            return  # has no field of vertices
        for person, vertices in zip(
            people['person_id'].tolist(), people['vertices'], strict=True
        ):
            path = self.folder / f'{frame.name}_person{person}.{self.suffix}'
            mesh = Mesh(
                vertices, self.faces, np.divide(instance_color(person), 255)
            )
            _MESH_WRITERS[self.suffix](mesh, path, overwrite=True)
