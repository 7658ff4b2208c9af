# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Decode image files of unknown origin.

A file of 69 bytes can claim 65535 x 65535 pixels, and OpenCV allocates them
before it notices that the data is missing. So the header is checked first.
"""

from __future__ import annotations

import io
import os
from contextlib import suppress
from typing import Any, BinaryIO

import cv2
import numpy as np

from .optional import import_optional

MAX_PIXELS = 1 << 27
"""Largest number of pixels that is decoded, 11585 x 11585."""

# Formats that OpenCV decodes as well.
_FORMATS = (
    *('JPEG', 'PNG', 'WEBP', 'BMP', 'TIFF', 'GIF', 'PPM', 'JPEG2000'),
    *('AVIF', 'SUN', 'PFM'),
)
_JPEG = ('JPEG', 'MPO')
# HEIC, the photographs of phones; AVIF has brands of its own.
_HEIF_BRANDS = (b'heic', b'heix', b'heim', b'heis', b'mif1', b'msf1')
_REDUCTIONS = {
    cv2.IMREAD_REDUCED_COLOR_2: 2,
    cv2.IMREAD_REDUCED_COLOR_4: 4,
    cv2.IMREAD_REDUCED_COLOR_8: 8,
}


def read_header(stream: BinaryIO) -> Any:
    """Open an image with Pillow without decoding it.

    Unlike :func:`PIL.Image.open` it neither warns about large images nor
    rejects them.

    Args:
        stream: The open file.

    Returns:
        The lazy image of Pillow, with ``size`` (width, height) and
        ``format``; ``None`` if the format is unknown.
    """
    from PIL import Image

    start = stream.read(16)
    # Common formats first: importing all 40 is slow in every worker.
    for register in (Image.preinit, Image.init):
        register()
        for name in _FORMATS:
            factory, accept = Image.OPEN.get(name, (None, None))
            try:
                # Pillow returns a string if support for a format is missing.
                fits = accept is None or accept(start)
                if factory and fits and not isinstance(fits, str):
                    stream.seek(0)
                    return factory(stream, '')
            except Exception:  # plugins raise anything for other formats
                continue
    return _read_heif(stream) if _is_heif(start) else None


def _is_heif(start: bytes) -> bool:
    return start[4:8] == b'ftyp' and start[8:12] in _HEIF_BRANDS


def _read_heif(stream: BinaryIO) -> Any:
    """Open a HEIC image; ``None`` if damaged, or without pillow-heif."""
    with suppress(Exception):  # as above
        from pillow_heif import HeifImageFile

        stream.seek(0)
        return HeifImageFile(stream)
    return None


def imread(
    path: str | os.PathLike, flags: int = cv2.IMREAD_COLOR
) -> np.ndarray | None:
    """Read a trusted image as :func:`cv2.imread` does.

    On Windows, that function cannot open names with all characters.

    Args:
        path: The file.
        flags: Flags of :func:`cv2.imdecode`.

    Returns:
        ``(H, W, 3)`` uint8 BGR by default; None if it is not an image.
    """
    content = np.fromfile(path, np.uint8)
    with suppress(cv2.error):  # empty, or too large
        return cv2.imdecode(content, flags)
    return None


def decode_image(
    content: bytes, source: str, flags: int = cv2.IMREAD_COLOR
) -> np.ndarray:
    """Decode an image file as its pixels are stored.

    Args:
        content: Content of the file.
        source: Name of the file, for errors.
        flags: Flags of :func:`cv2.imdecode`. The EXIF orientation is ignored.

    Returns:
        ``(H, W, 3)`` uint8 BGR by default.

    Raises:
        ValueError: It cannot be decoded, or has more than
            :data:`MAX_PIXELS` pixels.
    """
    header = read_header(io.BytesIO(content))
    if header is None and _is_heif(content):
        import_optional(
            'pillow_heif', 'pillow-heif', f'{source}: a HEIC image'
        )
    if header is None:
        raise ValueError(
            f'{source}: unknown image format; the file has {len(content):,} '
            'bytes'
        )
    width, height = header.size
    # Only JPEG is decoded directly at the reduced size.
    reduction = _REDUCTIONS.get(flags, 1) if header.format in _JPEG else 1
    if width * height > MAX_PIXELS * reduction**2:
        raise ValueError(
            f'{source}: declares {width} x {height} pixels, allowed are '
            f'{MAX_PIXELS:,} pixels'
        )
    if header.format == 'HEIF':
        return _decode_heif(header, source)
    image = None
    with suppress(cv2.error):  # raised for some damaged files
        image = cv2.imdecode(
            np.frombuffer(content, np.uint8),
            flags | cv2.IMREAD_IGNORE_ORIENTATION,
        )
    if image is None:
        raise ValueError(
            f'{source}: cannot be decoded as an image; the file has '
            f'{len(content):,} bytes'
        )
    return image


def _decode_heif(header: Any, source: str) -> np.ndarray:
    try:
        image = np.asarray(header.convert('RGB'))
    except Exception as error:  # libheif raises several kinds
        raise ValueError(
            f'{source}: cannot be decoded as a HEIC image: {error}'
        ) from None
    return np.ascontiguousarray(image[..., ::-1])
