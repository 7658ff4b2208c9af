# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""NaN and infinity in HumanData files.

Values without a label may be anything: joints of confidence 0, parameters of
persons without a fit and of hands and faces without a box.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .faults import Fault
from .schema import BODY_MODELS, is_keypoint_key

_PARTS = {
    'left_hand_pose': 'lhand',
    'right_hand_pose': 'rhand',
    'jaw_pose': 'face',
    'expression': 'face',
}


def find_non_finite(items: Mapping[str, Any]) -> list[Fault]:
    """Find NaN and infinite labels.

    Args:
        items: Content of a file.

    Returns:
        One fault per affected array, with its first bad row.
    """
    faults = []
    for field, value in _arrays(items):
        bad = np.flatnonzero(rows_not_finite(items, field, value))
        if len(bad):
            faults.append(
                Fault(
                    'not_finite',
                    field,
                    'NaN or infinity; allowed are finite numbers',
                    int(bad[0]),
                    len(bad),
                )
            )
    return faults


def rows_not_finite(
    items: Mapping[str, Any], field: str, value: np.ndarray
) -> np.ndarray:
    """Rows with a label that is NaN or infinite.

    Args:
        items: Content of a file.
        field: Key, with a dot before a sub-key.
        value: Its array ``(N, ...)``.

    Returns:
        ``(N,)`` bool.
    """
    if value.dtype.kind != 'f':
        return np.zeros(len(value), bool)
    finite = np.isfinite(value)
    if is_keypoint_key(field) and value.ndim == 3:
        finite |= value[..., -1:] == 0
    bad = np.asarray(~finite.all(axis=tuple(range(1, value.ndim))))
    group, _, name = field.partition('.')
    return bad & _has_labels(items, name, len(value)) if name else bad


def _arrays(items: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    for key, value in items.items():
        if isinstance(value, np.ndarray) and value.ndim:
            yield key, value
        elif key in BODY_MODELS and isinstance(value, Mapping):
            for name, part in value.items():
                if isinstance(part, np.ndarray) and part.ndim:
                    yield f'{key}.{name}', part


def _has_labels(items: Mapping[str, Any], name: str, rows: int) -> np.ndarray:
    """``(N,)`` bool: persons with a fit, and with the part it belongs to."""
    valid = np.ones(rows, bool)
    fitted = np.asarray(items.get('meta', {}).get('smplx_valid', ()))
    if fitted.shape[:1] == (rows,):
        valid &= fitted.reshape(rows, -1).any(axis=1)
    if name in _PARTS:
        boxes = items.get(f'{_PARTS[name]}_bbox_xywh')
        valid &= False if boxes is None else np.asarray(boxes)[:, -1] > 0
    return valid
