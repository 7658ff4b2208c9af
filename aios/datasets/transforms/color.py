# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Color augmentation."""

from __future__ import annotations

import random

import numpy as np
from mmcv.transforms.utils import cache_randomness

from aios.registry import TRANSFORMS

from .base import Transform


@TRANSFORMS.register_module()
class ChannelGain(Transform):
    """Multiply each color channel by a random gain, then clip.

    Args:
        gain_range: Lowest and highest gain.
    """

    def __init__(self, gain_range: tuple[float, float] = (0.8, 1.2)) -> None:
        low, high = gain_range
        if not 0 <= low <= high:
            raise ValueError(
                f'gain_range must be 0 <= low <= high, got {gain_range}'
            )
        self.gain_range = (low, high)

    @cache_randomness
    def _draw(self, channels: int) -> np.ndarray:
        gains = [random.uniform(*self.gain_range) for _ in range(channels)]
        return np.array(gains, np.float32)

    def transform(self, results: dict) -> dict:
        """Change ``img``; it keeps its dtype."""
        img = results['img']
        height, width, channels = img.shape
        # Tiling the gains is several times faster than broadcasting three.
        gains = np.tile(self._draw(channels), width)
        out = img.reshape(height, width * channels) * gains
        np.clip(out, 0, 255, out=out)
        if img.dtype.kind != 'f':
            np.rint(out, out=out)
        results['img'] = out.astype(img.dtype, copy=False).reshape(img.shape)
        return results
