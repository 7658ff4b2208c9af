# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Something to look at."""

from __future__ import annotations

import cv2
import numpy as np

SIZE = (96, 72)


def picture(seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Smooth noise, ``(H, W, 3)`` uint8 BGR."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3))
    return cv2.resize(noise.astype(np.uint8), size)
