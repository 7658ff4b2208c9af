# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Test-time image pyramid, as of the detector in PyTorch.

Legend: ``B`` images, ``P`` candidates of a level.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image


def resize_images(images: np.ndarray, scale: float) -> np.ndarray:
    """Downscale images; Pillow's bilinear filter equals that of PyTorch.

    Args:
        images: ``(B, 3, h, w)`` float32.
        scale: At most 1; sides are rounded up.
    """
    if scale == 1:
        return images
    height, width = (math.ceil(side * scale) for side in images.shape[-2:])
    bilinear = Image.Resampling.BILINEAR
    resized = [
        np.asarray(Image.fromarray(x).resize((width, height), bilinear))
        for x in images.reshape(-1, *images.shape[-2:])
    ]
    return np.stack(resized).reshape(*images.shape[:2], height, width)


def join_levels(
    levels: Sequence[tuple[Mapping[str, np.ndarray], tuple[int, int]]],
    size: tuple[int, int],
) -> dict[str, np.ndarray]:
    """Concatenate the candidates of all levels.

    Args:
        levels: Outputs ``(P, ...)`` by name, and ``(width, height)`` of the
            image at the level.
        size: ``(width, height)`` of the image.

    Returns:
        Outputs of all levels by name, with cameras of the whole image, and
        ``levels``, the index of the level of each candidate.
    """
    cameras = []
    for outputs, level_size in levels:
        ratio = np.divide(size, level_size)
        factors = np.array([ratio.mean(), *ratio], outputs['camera'].dtype)
        cameras.append(outputs['camera'] * factors)
    joined = {
        name: np.concatenate([outputs[name] for outputs, _ in levels])
        for name in levels[0][0]
    }
    counts = [len(camera) for camera in cameras]
    return joined | {
        'camera': np.concatenate(cameras),
        'levels': np.repeat(np.arange(len(levels)), counts),
    }
