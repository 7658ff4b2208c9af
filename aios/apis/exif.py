# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Focal length from the EXIF data of an image.

In order of preference:

1. ``FocalLengthIn35mmFilm``: CIPA DCG-001 defines it by the angle of view
   across the diagonal, which is 43.27 mm long on film.
2. ``FocalLength`` with ``FocalPlaneXResolution``: the width of the sensor.
3. ``FocalLength`` and a camera whose sensor is in :data:`SENSOR_WIDTHS`.

Cameras write integer millimeters, and some use the width instead of the
diagonal; standard deviations account for that.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aios.utils.images import read_header

_MAKE, _MODEL, _EXIF = 0x10F, 0x110, 0x8769
_FOCAL, _EQUIVALENT = 0x920A, 0xA405
_RESOLUTION, _UNIT, _WIDTH, _HEIGHT = 0xA20E, 0xA210, 0xA002, 0xA003

_FILM_DIAGONAL = math.hypot(36, 24)  # mm
_MILLIMETERS = {2: 25.4, 3: 10.0, 4: 1.0}  # per unit of the resolution
_SENSORS = (2.0, 70.0)  # plausible widths of sensors, mm
_ANGLES = (0.2, 40.0)  # plausible focal lengths, in diagonals

# With a 4:3 sensor width and diagonal give focal lengths that differ by 4 %,
# and by 8 % for a 16:9 crop, whose tag is often that of the full sensor. The
# resolution of Canon's cameras gives 37 mm for sensors of 36 mm.
_STD_EQUIVALENT, _STD_CUT = 0.03, 0.06
_STD_RESOLUTION, _STD_SENSOR = 0.03, 0.02

SENSOR_WIDTHS: tuple[tuple[str, str, float], ...] = (
    ('olympus', 'e-m', 17.3),
    ('olympus', 'e-p', 17.3),
    ('om digital', 'om-', 17.3),
    ('panasonic', 'dmc-g', 17.3),
    ('panasonic', 'dc-g', 17.3),
    ('fujifilm', 'x-e', 23.5),
    ('fujifilm', 'x-h', 23.5),
    ('fujifilm', 'x-pro', 23.5),
    ('fujifilm', 'x-t', 23.5),
    ('fujifilm', 'gfx', 43.8),
    ('sony', 'ilce-6', 23.5),
    ('sony', 'ilce-7', 35.8),
)
"""Prefixes of make and model in lower case, and sensor width in mm.

For files without the tags of the first two methods. Phones, Nikon and Sony
write those of the first, Canon those of the second.
"""


class ExifError(ValueError):
    """The focal length of a file is not plausible; the message says why."""


@dataclass(frozen=True)
class FocalLength:
    """A focal length.

    Args:
        pixels: Pixels of the original image.
        std: Standard deviation relative to it.
    """

    pixels: float
    std: float


def exif_focal_length(
    path: str | os.PathLike, size: tuple[int, int]
) -> FocalLength | None:
    """Focal length of an image file.

    Args:
        path: The file.
        size: ``(width, height)`` of the image, upright or not.

    Returns:
        ``None`` if the file has none.

    Raises:
        ExifError: If it is not plausible.
    """
    try:
        with open(path, 'rb') as stream:
            header = read_header(stream)
            if header is None:
                return None
            exif = header.getexif()
            tags = {**exif, **exif.get_ifd(_EXIF)}
    except (OSError, SyntaxError, ValueError, TypeError, KeyError):
        return None  # no EXIF that can be read
    try:
        focal = _from_tags(tags, size)
    except ExifError as error:
        raise ExifError(f'{path}: EXIF {error}') from None
    if focal is None:
        return None
    low, high = (limit * math.hypot(*size) for limit in _ANGLES)
    if not low < focal.pixels < high:
        raise ExifError(
            f'{path}: EXIF focal length of {focal.pixels:.4g} pixels is '
            f'implausible for an image of {size[0]} x {size[1]}'
        )
    return focal


def _from_tags(
    tags: Mapping[int, Any], size: tuple[int, int]
) -> FocalLength | None:
    """Focal length by the methods in the docstring of the module."""
    diagonal = math.hypot(*size)
    if tags.get(_EQUIVALENT) not in (None, 0):  # 0: unknown, by the standard
        film = _number(tags, _EQUIVALENT, 'FocalLengthIn35mmFilm')
        aspect = max(size) / min(size)
        std = _STD_EQUIVALENT if 1.3 < aspect < 1.52 else _STD_CUT
        rounding = 0.29 / film  # std of a uniform distribution of width 1
        pixels = film * diagonal / _FILM_DIAGONAL
        return FocalLength(pixels, math.hypot(std, rounding))
    if _FOCAL not in tags:
        return None
    focal = _number(tags, _FOCAL, 'FocalLength')
    if _RESOLUTION in tags:
        side = _sensor_side(tags, size)
        return FocalLength(focal * max(size) / side, _STD_RESOLUTION)
    width = _known_sensor(tags)
    if width is None:
        return None
    return FocalLength(focal * max(size) / width, _STD_SENSOR)


def _sensor_side(tags: Mapping[int, Any], size: tuple[int, int]) -> float:
    """Millimeters of the longer side of the sensor."""
    per_unit = _number(tags, _RESOLUTION, 'FocalPlaneXResolution')
    unit = tags.get(_UNIT, 2)
    if unit not in _MILLIMETERS:
        raise ExifError(
            f'FocalPlaneResolutionUnit is {unit!r}, expected 2, 3 or 4'
        )
    stored = [tags.get(name) for name in (_WIDTH, _HEIGHT)]
    # The resolution refers to the size of the image when it was taken.
    pixels = max(
        (n for n in stored if isinstance(n, int) and n > 0), default=max(size)
    )
    side = pixels * _MILLIMETERS[unit] / per_unit
    if not _SENSORS[0] < side < _SENSORS[1]:
        raise ExifError(
            f'FocalPlaneXResolution of {per_unit:.5g} implies an implausible '
            f'sensor width of {side:.4g} mm'
        )
    return side


def _known_sensor(tags: Mapping[int, Any]) -> float | None:
    """Millimeters of the width of the sensor of a known camera."""
    make, model = (str(tags.get(n, '')).lower() for n in (_MAKE, _MODEL))
    for begins, camera, width in SENSOR_WIDTHS:
        if make.startswith(begins) and model.startswith(camera):
            return width
    return None


def _number(tags: Mapping[int, Any], tag: int, name: str) -> float:
    """A positive number of a tag."""
    value = tags[tag]
    try:
        number = float(value)
    except (TypeError, ValueError, ZeroDivisionError):
        number = math.nan
    if not 0 < number < math.inf or isinstance(value, str):
        raise ExifError(f'{name} must be a positive number, got {value!r}')
    return number
