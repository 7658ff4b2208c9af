# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Which files a run writes, and what writes them."""

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
    """Which files are written besides ``params.npz``.

    Args:
        vis: Persons drawn into their images, ``vis/NAME.jpg`` or ``vis.mp4``.
        layers: What is drawn there, some of
            :data:`~aios.visualization.OVERLAY_LAYERS`.
        views: Panels beside, some of :data:`~aios.visualization.VIEWS`.
        params: For images ``params/NAME.npz``.
        formats: Other files, names of :data:`aios.export.EXPORTERS`.
    """

    vis: bool = True
    layers: Sequence[str] = DEFAULT_LAYERS
    views: Sequence[str] = ()
    params: bool = True
    formats: Sequence[str] = ()

    def overlay(self) -> OverlayOptions:
        """How persons are drawn.

        Raises:
            ValueError: If a layer or a view is unknown.
        """
        return OverlayOptions(self.layers, self.views)

    def exporters(self) -> list[Exporter]:
        """The formats.

        Raises:
            ValueError: If one is unknown, or not written by runs.
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
        """Writers of the files that are made frame by frame.

        Args:
            source: Where frames are from.
            folder: Where files go.
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
