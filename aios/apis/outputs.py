# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Output files of a run and their writers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aios.export import EXPORTERS, Exporter
from aios.utils.choices import check_choice
from aios.visualization import OverlayOptions, OverlayWriter

from .frames import FrameSource
from .window import DEFAULT_LAYERS
from .writers import ExportWriter, FrameWriter, ParameterWriter


@dataclass(frozen=True)
class Outputs:
    """Output files besides ``params.npz``.

    Args:
        vis: Persons drawn into their images, ``vis/NAME.jpg`` or ``vis.mp4``.
        layers: What to draw, a subset of
            :data:`~aios.visualization.OVERLAY_LAYERS`.
        views: Panels beside the image, a subset of
            :data:`~aios.visualization.VIEWS`.
        params: ``params/NAME.npz`` of images.
        formats: Other files, names of :data:`aios.export.EXPORTERS`.
    """

    vis: bool = True
    layers: Sequence[str] = DEFAULT_LAYERS
    views: Sequence[str] = ()
    params: bool = True
    formats: Sequence[str] = ()

    def overlay(self) -> OverlayOptions:
        """Options of drawing.

        Raises:
            ValueError: If a layer or a view is unknown.
        """
        return OverlayOptions(self.layers, self.views)

    def exporters(self) -> list[Exporter]:
        """Exporters of the formats.

        Raises:
            ValueError: If a format is unknown, or not available in runs.
        """
        allowed = {n: x for n, x in EXPORTERS.items() if x.product}
        for name in self.formats:
            check_choice('formats', name, allowed)
        return [x for name, x in allowed.items() if name in self.formats]

    def writers(
        self,
        source: FrameSource,
        folder: Path,
        faces: np.ndarray,
        metadata: dict[str, Any],
    ) -> list[FrameWriter]:
        """Make the writers of the files of frames.

        Args:
            source: Source of the frames.
            folder: Folder of the files.
            faces: ``(F, 3)`` triangles of the bodies.
            metadata: See :meth:`aios.results.SequenceResult.from_frames`.
        """
        writers: list[FrameWriter] = []
        if self.vis:
            writers.append(
                OverlayWriter(
                    folder / ('vis.mp4' if source.is_sequence else 'vis'),
                    faces,
                    source.fps,
                    source.sound,
                    self.overlay(),
                    overwrite=True,
                )
            )
        if self.params and not source.is_sequence:
            writers.append(ParameterWriter(folder / 'params', metadata))
        writers += [
            ExportWriter(exporter, folder / exporter.product, faces)
            for exporter in self.exporters()
            if exporter.per == 'frame'
        ]
        return writers
