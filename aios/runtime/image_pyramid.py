# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Images at several sizes, as the detector in PyTorch looks at them.

Legend: ``B`` images, ``P`` candidates of a level.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image


def resize_images(images: np.ndarray, scale: float) -> np.ndarray:
    """Smaller images; Pillow's bilinear filter is that of PyTorch.

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
    """Candidates of all levels side by side, with cameras of whole images.

    Args:
        levels: Outputs ``(P, ...)`` by name, and width and height of the
            image as the level saw it.
        size: ``(width, height)`` of the image.

    Returns:
        Outputs of all levels by name, and ``levels``: the index of each
        candidate's.
    """
    cameras = []
    for outputs, seen in levels:
        ratio = np.divide(size, seen)
        factors = np.array([ratio.mean(), *ratio], outputs['camera'].dtype)
        cameras.append(outputs['camera'] * factors)
    every = [outputs for outputs, _ in levels]
    joined = {
        name: np.concatenate([outputs[name] for outputs in every])
        for name in every[0]
    }
    counts = [len(outputs['camera']) for outputs in every]
    return joined | {
        'camera': np.concatenate(cameras),
        'levels': np.repeat(np.arange(len(every)), counts),
    }
