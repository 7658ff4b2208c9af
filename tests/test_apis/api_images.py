# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Test images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

SIZE = (96, 72)


def draw_image(seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Smooth noise, ``(H, W, 3)`` uint8 BGR."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 8, 3))
    return cv2.resize(noise.astype(np.uint8), size)


def photo(path: Path, size=(72, 48), make='', model='', **tags) -> Path:
    """Write an image with EXIF tags.

    Tags of EXIF are hexadecimal, such as ``xA405=50``.
    """
    exif = Image.Exif()
    exif[0x10F], exif[0x110] = make, model
    exif.get_ifd(0x8769).update({int(n[1:], 16): v for n, v in tags.items()})
    image = Image.fromarray(draw_image(1, size)[..., ::-1])
    image.save(path, exif=exif)
    return path
