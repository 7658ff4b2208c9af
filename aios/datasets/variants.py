# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Variants of the HumanData format that other programs write and read.

``N`` rows (persons), ``J`` joints.
"""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

from .schema import BODY_MODELS, is_keypoint_key, row_count

# Without these nobody has a body.
_NEEDED = ('betas', 'body_pose', 'global_orient', 'transl')


def adapt_variants(
    items: dict[str, Any], compressed: bool, source: str | os.PathLike
) -> None:
    """Bring variants to the format; changes ``items``.

    - Keypoints without a confidence get one: 1, and 0 for joints that the
      mask excludes.
    - Entries of a body model that do not have N rows are left out, with one
      warning: UBody files of mmhuman3d declare poses of eyes and leave them
      empty.  Pose, shape and place of the body must have
      N rows.

    Args:
        items: Content of a file.
        compressed: Whether the joints that masks exclude are left out of it.
        source: The file, for the warning.
    """
    for key in [k for k in items if is_keypoint_key(k)]:
        mask = items.get(f'{key}_mask')
        items[key] = _with_confidence(
            key, items[key], None if compressed else mask
        )
    rows, skipped = row_count(items), []
    for model in BODY_MODELS:
        params = items.get(model)
        if not isinstance(params, dict):
            continue
        for name, value in list(params.items()):
            is_array = isinstance(value, np.ndarray) and value.ndim > 0
            if is_array and len(value) != rows and name not in _NEEDED:
                skipped.append(f'{model}.{name} ({len(value)})')
                del params[name]
    if skipped:
        warnings.warn(
            f'{source}: {len(skipped)} entries do not have {rows} rows and '
            f'are left out: {", ".join(skipped)}',
            stacklevel=4,
        )


def _with_confidence(key: str, value: Any, mask: Any) -> Any:
    """``(N, J, 3)`` or ``(N, J, 4)`` of a ``(N, J, 2)`` or ``(N, J, 3)``."""
    axes = 2 if 'keypoints2d' in key else 3
    if not isinstance(value, np.ndarray) or value.ndim != 3:
        return value
    if value.shape[2] != axes or value.dtype.kind != 'f':
        return value
    confidence = np.ones((*value.shape[:2], 1), value.dtype)
    if mask is not None and np.shape(mask) == value.shape[1:2]:
        confidence[:, np.asarray(mask) == 0] = 0
    return np.concatenate((value, confidence), axis=2)


def without_container(key: str, value: Any) -> Any:
    """Undo what the container did to a value.

    Args:
        key: Its name.
        value: As read.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if key in ('image_path', 'image_id') and isinstance(value, np.ndarray):
        return value.tolist()
    is_box = key.endswith('bbox_xywh') and isinstance(value, np.ndarray)
    if is_box and value.ndim == 2 and value.shape[1] == 4:
        ones = np.ones((len(value), 1), value.dtype)
        return np.hstack((value, ones))
    return value
