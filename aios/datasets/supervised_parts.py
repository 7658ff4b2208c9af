# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Hands and faces that have labels but never supervise."""

from __future__ import annotations

import numpy as np

from aios.structures import PARTS

from .human_data import HumanData

_LABELS = {
    'lhand': 'left_hand_pose',
    'rhand': 'right_hand_pose',
    'face': 'expression',
}


def unboxed_parts(data: HumanData) -> dict[str, int]:
    """Parts with parameters but without a single box.

    A hand or face supervises where it has a box, so these never do.

    Args:
        data: A file without structural faults.

    Returns:
        Part to the number of persons whose parameters of it are not zero.
    """
    params = data.get('smplx', {})
    found = {}
    for part in PARTS:
        boxes = data.get(f'{part}_bbox_xywh')
        if boxes is not None and (np.asarray(boxes)[:, 4] > 0).any():
            continue
        values = np.asarray(params.get(_LABELS[part], np.zeros((0, 1))))
        count = int(values.any(axis=tuple(range(1, values.ndim))).sum())
        if count:
            found[part] = count
    return found
