# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Read images of users: rotated, gray, transparent, 16-bit, huge.

The orientation of EXIF is applied, unlike in
:class:`aios.datasets.transforms.LoadImage`, whose labels refer to pixels as
they are stored.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from aios.utils.images import decode_image, read_header

MAX_PIXELS = 1 << 25
"""Images with more pixels than this (8K video has fewer) are decoded at
1/2, 1/4 or 1/8 of their size. The input of the network has about a million,
and an image of 16384 x 16384 as float32 would take 3 GB."""

_REDUCED = {
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_EXIF_ORIENTATION = 0x112
# (transpose first, then flip these axes) for the values of EXIF.
_TURNS: dict[int, tuple[bool, tuple[int, ...]]] = {
    2: (False, (1,)),
    3: (False, (0, 1)),
    4: (False, (0,)),
    5: (True, ()),
    6: (True, (1,)),
    7: (True, (0, 1)),
    8: (True, (0,)),
}


def read_image(
    path: str | os.PathLike, max_pixels: int = MAX_PIXELS
) -> tuple[np.ndarray, tuple[int, int]]:
    """Decode an image file.

    Gray images get three channels, transparency is dropped, 16 bits become
    8 (the upper ones), and the orientation of EXIF is applied.

    Args:
        path: The file.
        max_pixels: Larger images are decoded at 1/2, 1/4 or 1/8.

    Returns:
        ``(H, W, 3)`` uint8 BGR, and the full size ``(width, height)``.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be decoded.
    """
    content = Path(path).read_bytes()
    if not content:
        raise ValueError(f'{path}: is empty (0 bytes)')
    size, turn = _header(content)
    flags = cv2.IMREAD_COLOR
    if size and size[0] * size[1] > max_pixels:
        pixels = size[0] * size[1]
        divisor = next((n for n in _REDUCED if pixels / n**2 <= max_pixels), 8)
        flags = _REDUCED[divisor]
    image = decode_image(content, str(path), flags)
    size = size or (image.shape[1], image.shape[0])
    transposed, axes = _TURNS.get(turn, (False, ()))
    if transposed:
        image, size = image.transpose(1, 0, 2), size[::-1]
    return np.ascontiguousarray(np.flip(image, axes)), size


def as_image(image: Any, name: str = 'array') -> np.ndarray:
    """Convert an array to ``(H, W, 3)`` uint8 BGR.

    Args:
        image: ``(H, W)``, ``(H, W, 1)``, ``(H, W, 3)`` or ``(H, W, 4)``;
            uint8, uint16, or floating point in 0..255.
        name: Name for errors.

    Raises:
        ValueError: If shape, type or values are others.
    """
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or not image.size:
        raise ValueError(
            f'{name}: an image must have shape (H, W), (H, W, 3) or '
            f'(H, W, 4), BGR, got {image.shape}'
        )
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    elif image.dtype.kind == 'f':
        # An image in 0..1 would become black; all zeros are black in both.
        is_unit = image.any() and image.max() <= 1 < image.size
        if not np.isfinite(image).all() or is_unit:
            raise ValueError(
                f'{name}: a floating point image must have finite values '
                f'in 0..255, got a maximum of {image.max()}'
            )
        image = image.round().clip(0, 255).astype(np.uint8)
    elif image.dtype != np.uint8:
        raise ValueError(
            f'{name}: an image must be uint8, uint16 or floating point, '
            f'got {image.dtype}'
        )
    if image.shape[2] == 1:
        image = image.repeat(3, axis=2)
    return np.ascontiguousarray(image[..., :3])


def _header(content: bytes) -> tuple[tuple[int, int] | None, int]:
    """Stored size ``(width, height)`` and EXIF orientation."""
    header = read_header(io.BytesIO(content))
    if header is None:
        return None, 1
    if header.format == 'TIFF':
        return header.size, 1  # Pillow and OpenCV rotate these
    try:
        turn = header.getexif().get(_EXIF_ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError):
        turn = 1
    return header.size, turn if isinstance(turn, int) else 1
