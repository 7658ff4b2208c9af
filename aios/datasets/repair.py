# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Repair annotation files, where no guessing is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from aios.structures import HUMAN_DATA_190

from .checks import Report
from .human_data import HumanData
from .label_options import KEYPOINTS_2D, KEYPOINTS_3D
from .labels import hand_poses_are_flat

__all__ = ['fix', 'select_rows']


def fix(data: HumanData, report: Report) -> tuple[HumanData, list[str]]:
    """Repair what can be repaired without guessing.

    Args:
        data: The file.
        report: What :func:`aios.datasets.checks.check_human_data` found in it.

    Returns:
        A repaired copy, and what was done, in words.
    """
    keep, done = np.ones(len(data), bool), []
    for finding in report.findings:
        if finding.drops and len(finding.rows):
            keep[finding.rows] = False
            done.append(f'dropped {len(finding.rows)} rows: {finding.check}')
    fixed = select_rows(data, np.flatnonzero(keep))
    if report.swapped_eyes:
        _swap_eyes(fixed)
        done.append('swapped the eyeballs')
    if report.flat_hands is not None:
        said = hand_poses_are_flat(data)
        if said != report.flat_hands:
            misc = {
                **fixed.get('misc', {}),
                'flat_hand_mean': report.flat_hands,
            }
            fixed['misc'] = misc
            smplx = dict(fixed['smplx'])
            smplx.pop('flat_hand_mean', None)
            fixed['smplx'] = smplx
            done.append(f'misc.flat_hand_mean = {report.flat_hands}')
    fixed.generate_masks()
    fixed.compress()
    return fixed, done


def _swap_eyes(data: HumanData) -> None:
    pair = [HUMAN_DATA_190.index(f'{s}_eyeball') for s in ('left', 'right')]
    for key in list(data):
        is_joints = key in (*KEYPOINTS_2D, *KEYPOINTS_3D)
        if is_joints and data.joint_set(key) is HUMAN_DATA_190:
            points = np.array(data[key])
            points[:, pair] = points[:, pair[::-1]]
            data[key] = points


def select_rows(data: HumanData, rows: np.ndarray) -> HumanData:
    """Uncompressed copy with some of the rows.

    Args:
        data: The file.
        rows: Rows to take, in order.
    """
    count = len(data)

    def take(value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.shape[:1] == (count,):
            return value[rows]
        if isinstance(value, (list, tuple)) and len(value) == count:
            return [value[row] for row in rows.tolist()]
        return value

    chosen = HumanData()
    for key in data:
        value = data[key]
        if key == 'frame_range':
            continue
        if key.endswith(('_mask', '_convention')) or key == 'misc':
            chosen[key] = value
        elif isinstance(value, Mapping):
            chosen[key] = {name: take(part) for name, part in value.items()}
        else:
            chosen[key] = take(value)
    if 'frame_range' in data and 'image_path' in data:
        # Rows of a picture stood together, and still do.
        chosen.set_frame_range()
    return chosen
