# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Files that are written while frames come in.

A writer has ``write(frame, image)`` and is a context manager, which knows of
an error inside that there is more to come.  Those with
``per_frame`` write files of their own for each frame: in any order, by any
process, and not again when a run goes on.
:class:`aios.visualization.OverlayWriter` is one more.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from aios.export import Exporter
from aios.results import FrameResult, SequenceResult


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
            frame: Its persons.
            image: ``(H, W, 3)`` uint8 RGB, not to be changed.
        """

    def __enter__(self) -> FrameWriter:
        return self

    def __exit__(self, *error: object) -> None:
        return


class ParameterWriter(FrameWriter):
    """``NAME.npz``: a :class:`~aios.results.SequenceResult` of one frame.

    Args:
        folder: Where to.
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
    """The files of a format with one per frame.

    Args:
        exporter: The format.
        folder: Where to.
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
