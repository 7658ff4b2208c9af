# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Files that are written while frames come in.

A writer has ``write(frame, image)`` and ``close()``.  Those with
``per_frame`` write files of their own for each frame: in any order, by any
process, and not again when a run goes on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import cv2
import numpy as np

from aios.export import FrameResult, PeopleSequence, write_ply
from aios.visualization import Mesh, write_image, write_obj
from aios.visualization.palette import instance_color

from .drawing import draw_frame

__all__ = [
    'FrameWriter',
    'MeshWriter',
    'ParameterWriter',
    'PictureWriter',
    'VideoWriter',
]

_MESH_WRITERS = {'obj': write_obj, 'ply': write_ply}


class FrameWriter(ABC):
    """Takes frames one after the other.

    Attributes:
        per_frame: Whether each frame has files of its own.
        needs_image: Whether it looks at the images.
        needs_vertices: Whether it needs meshes.
    """

    per_frame = True
    needs_image = False
    needs_vertices = False

    def is_done(self, name: str) -> bool:
        """Whether an earlier run wrote the files of a frame."""
        return False

    @abstractmethod
    def write(self, frame: FrameResult, image: np.ndarray | None) -> None:
        """Write a frame.

        Args:
            frame: Its people.
            image: ``(H, W, 3)`` uint8 RGB; the writer may change it.
        """

    def close(self) -> None:  # noqa: B027 - most have nothing to do
        """Finish; what was written stays readable."""


class PictureWriter(FrameWriter):
    """``NAME.jpg``: people over their pictures, at original resolution.

    Args:
        folder: Where to.
        faces: ``(F, 3)`` triangles.
        suffix: Format.
    """

    needs_image = True
    needs_vertices = True

    def __init__(
        self, folder: Path, faces: np.ndarray, suffix: str = '.jpg'
    ) -> None:
        self.folder = folder
        self.faces = faces
        self.suffix = suffix

    def is_done(self, name: str) -> bool:  # noqa: D102
        return self._path(name).exists()

    def _path(self, name: str) -> Path:
        return self.folder / f'{name}{self.suffix}'

    def write(  # noqa: D102
        self, frame: FrameResult, image: np.ndarray | None
    ) -> None:
        if image is None:
            raise ValueError(f'frame {frame.name!r}: no image to draw into')
        drawn = draw_frame(frame, image, self.faces)
        write_image(drawn, self._path(frame.name), overwrite=True)


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
        bare = FrameResult(
            frame.name,
            frame.source_frame,
            frame.timestamp,
            frame.K,
            frame.size,
            people,
        )
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
        for person, vertices in zip(
            people['person_id'].tolist(), people['vertices'], strict=True
        ):
            path = self.folder / f'{frame.name}_person{person}.{self.suffix}'
            mesh = Mesh(
                vertices, self.faces, np.divide(instance_color(person), 255)
            )
            _MESH_WRITERS[self.suffix](mesh, path, overwrite=True)


class VideoWriter(FrameWriter):
    """People over the frames of a video.

    Args:
        path: File; complete or not, it is readable after :meth:`close`.
        faces: ``(F, 3)`` triangles.
        fps: Frames per second.
    """

    per_frame = False
    needs_image = True
    needs_vertices = True

    def __init__(self, path: Path, faces: np.ndarray, fps: float) -> None:
        self.path = path
        self.faces = faces
        self.fps = fps
        self._video: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def write(  # noqa: D102
        self, frame: FrameResult, image: np.ndarray | None
    ) -> None:
        if image is None:
            raise ValueError(f'frame {frame.name!r}: no image to draw into')
        if self._video is None:
            self._size = image.shape[1], image.shape[0]
            self.path.parent.mkdir(parents=True, exist_ok=True)
            codec = cv2.VideoWriter_fourcc(*'mp4v')  # type: ignore
            self._video = cv2.VideoWriter(
                str(self.path), codec, self.fps, self._size
            )
            if not self._video.isOpened():
                raise OSError(f'{self.path}: OpenCV cannot write this video')
        drawn = draw_frame(frame, image, self.faces)
        if drawn.shape[1::-1] != self._size:
            drawn = cv2.resize(drawn, self._size)
        self._video.write(np.ascontiguousarray(drawn[..., ::-1]))

    def close(self) -> None:  # noqa: D102
        if self._video is not None:
            self._video.release()
