# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Pictures for networks that take one size only."""

from __future__ import annotations

from aios.registry import TRANSFORMS

from .geometry import WholeBodyResize

__all__ = ['WholeBodyFit']


@TRANSFORMS.register_module()
class WholeBodyFit(WholeBodyResize):
    """Resize picture and labels to fit into a frame, keeping the ratio.

    A picture as high or as wide as its frame, and not larger; a portrait is
    not given the long side of a landscape frame.

    Args:
        scale: ``(width, height)`` of the frame.
        **kwargs: See :class:`WholeBodyResize`.
    """

    def transform(self, results: dict) -> dict:
        """Resize ``img`` and the labels."""
        height, width = results['img_shape']
        frame_width, frame_height = self.scale
        if (height > width) == (frame_height > frame_width):
            limits = self.scale
        else:
            limits = (min(self.scale), min(self.scale))
        self._resize(results, limits)
        return results
