# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Names, shapes and types of the results; ``docs/en/export.md`` lists them.

Legend: ``N`` persons of all frames, ``F`` frames, ``V`` vertices.  Axes are
OpenCV's (x right, y down, z forward), lengths meters, angles radians, image
coordinates pixels of the original image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

FORMAT_VERSION = 1
"""Increased when older readers would misread newer files."""


@dataclass(frozen=True)
class Field:
    """An array of the results.

    Args:
        shape: Shape without the axis of persons or frames; -1 is any size.
        dtype: Stored type; ``np.str_`` for text of any length.
        meaning: Content and units.
        optional: Whether it may be missing.
        unknown: Value of unknown entries, and of all if the field is missing.
    """

    shape: tuple[int, ...]
    dtype: type
    meaning: str
    optional: bool = False
    unknown: float | str | None = None


_REAL, _WHOLE = np.float32, np.int64
# Accepted NumPy kinds by type; 'iuf' for the others.
_KINDS: dict[type, str] = {np.str_: 'U', _WHOLE: 'iu'}

SMPLX_ARGUMENTS: Mapping[str, int] = MappingProxyType(
    {
        'global_orient': 3,
        'body_pose': 63,
        'left_hand_pose': 45,
        'right_hand_pose': 45,
        'jaw_pose': 3,
        'leye_pose': 3,
        'reye_pose': 3,
        'betas': 10,
        'expression': 10,
        'transl': 3,
    }
)
"""Keyword arguments of an SMPL-X layer and their sizes."""

DEFAULT_BODY_MODEL = 'smplx'
"""``body_model`` of results if no path was given, and
:func:`aios.body_models.find_body_model` searched the default folder."""

MESH_BODIES: Mapping[str, str] = MappingProxyType({'mhr': 'mhr_70'})
"""Body models without SMPL-X parameters, and their joint sets.

Their results hold joints and vertices; the parameters are zero.
"""


APPEARANCE_SHAPE = (3, 64)
"""Color histograms of two body parts, and a gray image of the frame."""


def _person_fields() -> dict[str, Field]:
    fields = {
        'person_id': Field((), _WHOLE, 'track, or rank within the frame'),
        'scores': Field((), _REAL, 'confidence, 0 to 1'),
    }
    for name in ('bboxes', 'lhand_bboxes', 'rhand_bboxes', 'face_bboxes'):
        fields[name] = Field((4,), _REAL, 'x0, y0, x1, y1, px')
    for name, size in SMPLX_ARGUMENTS.items():
        fields[name] = Field((size,), _REAL, 'axis-angle, rad')
    fields['betas'] = Field((10,), _REAL, 'shape coefficients')
    fields['expression'] = Field((10,), _REAL, 'expression coefficients')
    fields['transl'] = Field((3,), _REAL, 'm, camera axes')
    fields['joints3d'] = Field((144, 3), _REAL, 'm, camera axes')
    fields['joints2d'] = Field((144, 2), _REAL, 'px, joints3d seen by K')
    fields['vertices'] = Field((-1, 3), _REAL, 'm, camera axes', True)
    fields['keypoints'] = Field((17, 2), _REAL, 'COCO order, px', True)
    fields['appearance'] = Field(
        APPEARANCE_SHAPE, _REAL, 'colors of torso and thighs, scene', True
    )
    return fields


PERSON_FIELDS: Mapping[str, Field] = MappingProxyType(_person_fields())
"""One row per person and frame."""

FRAME_FIELDS: Mapping[str, Field] = MappingProxyType(
    {
        'frame_names': Field(
            (), np.str_, 'stem of an image name, or a number'
        ),
        'source_frames': Field((), _WHOLE, 'number in the video, from 0'),
        'timestamps': Field((), np.float64, 's; 0 for images'),
        'K': Field((3, 3), np.float64, 'intrinsics, px'),
        'image_sizes': Field((2,), _WHOLE, 'width, height, px'),
        'camera_origin': Field(
            (), np.str_, 'where K is from', unknown='unknown'
        ),
        'focal_std': Field(
            (),
            np.float64,
            'standard deviation of the focal length, a share of it',
            unknown=np.nan,
        ),
    }
)
"""One row per frame, also for frames without persons."""

CAMERA_ORIGINS = ('user', 'exif', 'estimated', 'virtual', 'unknown')
"""Source of ``K``: given by the user, from the EXIF data of the image,
estimated from the image, the network's virtual camera, or unknown, as in files
of earlier versions and of other programs."""


def as_field(name: str, field: Field, value: Any, count: int) -> np.ndarray:
    """Check an array and convert it to the type of its field.

    Args:
        name: Name for errors.
        field: Required shape and type.
        value: Anything :func:`numpy.asarray` accepts.
        count: Number of rows.

    Raises:
        ValueError: If the shape or the type is wrong, or a number is not
            finite; the message says which.
    """
    if value is None and field.unknown is not None:
        value = np.full((count, *field.shape), field.unknown)
    array = np.asarray(value)
    shape = (count, *field.shape)
    if not has_shape(array, shape):
        wanted = ', '.join('*' if size < 0 else str(size) for size in shape)
        raise ValueError(
            f'{name} must have shape ({wanted}), got {array.shape}'
        )
    kinds = _KINDS.get(field.dtype, 'iuf')
    if array.dtype.kind not in kinds and array.size:
        raise ValueError(
            f'{name} must be {np.dtype(field.dtype).name}, got {array.dtype}'
        )
    with np.errstate(over='ignore'):  # becomes inf, which is rejected below
        array = array.astype(field.dtype, copy=False)
    if array.dtype.kind != 'f':
        return array
    known = np.isfinite(array)
    if field.unknown is not None:
        known |= np.isnan(array)
    if not known.all():
        row = int(np.argwhere(~known)[0, 0])
        raise ValueError(f'{name} must be finite, row {row} is not')
    return array


def has_shape(array: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether an array has a shape; -1 is any size."""
    return array.ndim == len(shape) and all(
        wanted in (-1, size)
        for wanted, size in zip(shape, array.shape, strict=True)
    )


def check_instances(
    instances: Mapping[str, Any], count: int
) -> dict[str, np.ndarray]:
    """Check fields of persons; see :data:`PERSON_FIELDS`.

    Args:
        instances: Field name to array.
        count: Number of rows.

    Returns:
        The arrays with the types of their fields, in the order of the
        table, without optional ones that are missing or ``None``.

    Raises:
        ValueError: If a field is unknown, missing or invalid.
    """
    unknown = sorted(set(instances) - set(PERSON_FIELDS))
    if unknown:
        raise ValueError(
            f'unknown field {unknown[0]!r}; persons have '
            f'{", ".join(PERSON_FIELDS)}'
        )
    checked = {}
    for name, field in PERSON_FIELDS.items():
        if instances.get(name) is not None:
            checked[name] = as_field(name, field, instances[name], count)
        elif not field.optional:
            raise ValueError(f'field {name!r} is missing')
    return checked


def complete_instances(**fields: Any) -> dict[str, np.ndarray]:
    """Add default values for the missing fields of persons.

    ``person_id`` defaults to the row number, ``scores`` to 1 and the other
    fields to 0.

    Args:
        **fields: Arrays with the same number of rows; none for no persons.

    Returns:
        All fields that are not optional, and the given ones.

    Raises:
        ValueError: If a field is unknown or invalid.
    """
    count = len(next(iter(fields.values()), ()))
    instances: dict[str, Any] = {
        name: np.zeros((count, *field.shape), field.dtype)
        for name, field in PERSON_FIELDS.items()
        if not field.optional
    }
    instances['person_id'] = np.arange(count)
    instances['scores'] = np.ones(count)
    return check_instances(instances | fields, count)
