# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Write image files."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np

from aios.utils.safe_io import atomic_write


def write_image(
    image: np.ndarray,
    path: str | os.PathLike,
    overwrite: bool = False,
    quality: int = 95,
) -> None:
    """Write an RGB image; the file appears only when it is complete.

    Args:
        image (np.ndarray): (H, W, 3) RGB; uint8, or float32 for ``.hdr``.
        path (str): The file; its suffix determines the format, e.g. ``.jpg``.
            Missing folders are made.
        overwrite (bool): Replace an existing file.
        quality (int): Of JPEG files, 1 to 100.

    Raises:
        FileExistsError: If the file exists and ``overwrite`` is False.
        ValueError: If OpenCV cannot write the format, or images of that size.
    """
    suffix = Path(path).suffix
    if not suffix or not cv2.haveImageWriter(f'image{suffix}'):
        raise ValueError(
            f'{path}: cannot write images of type {suffix!r}, use .jpg or .png'
        )
    is_jpeg = suffix.lower() in ('.jpg', '.jpeg')
    done, data = cv2.imencode(
        suffix,
        np.ascontiguousarray(image[..., ::-1]),
        [cv2.IMWRITE_JPEG_QUALITY, quality] if is_jpeg else [],
    )
    if not done:
        height, width = image.shape[:2]
        raise ValueError(
            f'{path}: OpenCV cannot write {width} x {height} pixels as '
            f'{suffix}; JPEG allows 65,500 a side'
        )
    with atomic_write(path, overwrite=overwrite) as stream:
        stream.write(data.tobytes())
