# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Writers of files, frame by frame.

A writer has ``write(frame, image)`` and is a context manager; after an error
in its block a run may be resumed.  Writers with ``per_frame`` write separate
files for each frame: in any order, in any process, and not again in a resumed
run.  :class:`aios.visualization.OverlayWriter` is another one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from aios.export import Exporter
from aios.results import FrameResult, SequenceResult


class FrameWriter(Protocol):
    """Interface of the writers.

    Attributes:
        per_frame: Whether each frame has its own files.
        needs_image: Whether images are needed.
        needs_vertices: Whether meshes are needed.
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
            frame: Its persons.
            image: ``(H, W, 3)`` uint8 RGB; must not be changed.
        """

    def __enter__(self) -> FrameWriter:
        return self

    def __exit__(self, *error: object) -> None:
        return


class ParameterWriter(FrameWriter):
    """Write ``NAME.npz``: a :class:`~aios.results.SequenceResult` per frame.

    Args:
        folder: Folder of the files.
        metadata: See :meth:`aios.results.SequenceResult.from_frames`.
    """

    def __init__(self, folder: Path, metadata: dict) -> None:
        self.folder = folder
        self.metadata = metadata

    def is_done(self, name: str) -> bool:  # noqa: D102
        return (self.folder / f'{name}.npz').exists()

    def write(  # noqa: D102
        self, frame: FrameResult, image: np.ndarray | None
    ) -> None:
        bare = frame.with_fields(vertices=None)
        SequenceResult.from_frames([bare], **self.metadata).save(
            self.folder / f'{frame.name}.npz', overwrite=True
        )


class ExportWriter(FrameWriter):
    """Write the files of a format with ``per='frame'``.

    Args:
        exporter: The format.
        folder: Folder of the files.
        faces: ``(F, 3)`` triangles.
    """

    needs_vertices = True

    def __init__(
        self, exporter: Exporter, folder: Path, faces: np.ndarray
    ) -> None:
        self.exporter, self.folder, self.faces = exporter, folder, faces

    def write(  # noqa: D102
        self, frame: FrameResult, image: np.ndarray | None
    ) -> None:
        self.exporter.write_frame(frame, self.faces, self.folder)
