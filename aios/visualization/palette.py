# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Colors of the parts of a skeleton."""

from __future__ import annotations

from functools import cache

import numpy as np

from aios.structures import JointSet, get_joint_set

JOINT_COLORS = {
    'left': (255, 145, 40),
    'right': (50, 160, 255),
    'center': (90, 220, 90),
    'left_hand': (255, 215, 70),
    'right_hand': (110, 235, 255),
    'face': (255, 150, 205),
}
"""RGB by side of the body, and of hands and face."""


def joint_colors(joint_set: str | JointSet) -> np.ndarray:
    """RGB colors of the joints of a set.

    Args:
        joint_set (str | JointSet): Convention.

    Returns:
        np.ndarray: (J, 3) uint8, by :data:`JOINT_COLORS`. Read-only.
    """
    return _joint_colors(get_joint_set(joint_set).name)


@cache
def _joint_colors(name: str) -> np.ndarray:
    joint_set = get_joint_set(name)
    keys = [_side(joint) for joint in joint_set.names]
    for part in ('left_hand', 'right_hand', 'face'):
        for index in joint_set.groups[part]:
            keys[index] = part
    colors = np.array([JOINT_COLORS[key] for key in keys], np.uint8)
    colors.setflags(write=False)
    return colors


def _side(joint: str) -> str:
    side = joint.split('_')[0]
    return side if side in ('left', 'right') else 'center'
