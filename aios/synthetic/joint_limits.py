# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Ranges of motion of the SMPL-X body joints, as axis-angle boxes.

The numbers are coarse anatomical ranges (flexion, abduction, rotation) for
the rest pose of the SMPL-X format: T-pose, ``y`` up, facing ``+z``, left arm
along ``+x``.  They keep sampled poses plausible but are not a statistical
prior.
"""

from __future__ import annotations

import numpy as np

from aios.structures import get_joint_set

# The 21 body rotations that follow the root, in SMPL-X order.
BODY_JOINT_NAMES: tuple[str, ...] = tuple(
    get_joint_set('smplx_rotations_53').names[1:22]
)

# (low, high) of the axis-angle components x, y, z in radians.  `left_*` rows
# are mirrored for the right side.
_LIMITS = {
    'left_hip': ((-2.4, -0.9, -0.45), (0.55, 0.9, 1.0)),
    'left_knee': ((-0.02, -0.15, -0.12), (2.5, 0.15, 0.12)),
    'left_ankle': ((-0.5, -0.3, -0.3), (0.85, 0.3, 0.3)),
    'left_foot': ((-0.6, -0.1, -0.1), (0.3, 0.1, 0.1)),
    'left_collar': ((-0.2, -0.35, -0.25), (0.2, 0.25, 0.5)),
    'left_shoulder': ((-2.0, -2.0, -1.75), (1.7, 1.1, 1.3)),
    'left_elbow': ((-1.2, -2.5, -0.8), (1.2, 0.05, 0.8)),
    'left_wrist': ((-0.8, -0.5, -1.2), (0.8, 0.5, 1.1)),
    'spine_1': ((-0.25, -0.4, -0.3), (0.8, 0.4, 0.3)),
    'spine_2': ((-0.2, -0.35, -0.2), (0.45, 0.35, 0.2)),
    'spine_3': ((-0.15, -0.25, -0.15), (0.3, 0.25, 0.15)),
    'neck': ((-0.5, -0.7, -0.35), (0.5, 0.7, 0.35)),
    'head': ((-0.4, -0.5, -0.3), (0.45, 0.5, 0.3)),
}


def mirror_pose(pose: np.ndarray) -> np.ndarray:
    """Reflects axis-angle vectors about the sagittal plane.

    Args:
        pose: ``(..., 3)`` axis-angle vectors of one side.

    Returns:
        ``(..., 3)`` vectors of the other side, ``(a, -b, -c)``.
    """
    return np.asarray(pose) * np.array([1.0, -1.0, -1.0])


def body_joint_limits() -> tuple[np.ndarray, np.ndarray]:
    """Returns the lowest and highest axis-angle values of the body joints.

    Returns:
        Two ``(21, 3)`` float64 arrays (low, high), radians.
    """
    low, high = np.zeros((2, len(BODY_JOINT_NAMES), 3))
    for row, name in enumerate(BODY_JOINT_NAMES):
        if name.startswith('right_'):
            ends = mirror_pose(np.array(_LIMITS['left_' + name[6:]]))
            low[row], high[row] = ends.min(0), ends.max(0)
        else:
            low[row], high[row] = _LIMITS[name]
    return low, high


def clip_body_pose(body_pose: np.ndarray) -> np.ndarray:
    """Clips a body pose to :func:`body_joint_limits`.

    Args:
        body_pose: ``(..., 21, 3)`` axis-angle, radians.

    Returns:
        ``(..., 21, 3)`` array within the limits.
    """
    return np.clip(body_pose, *body_joint_limits())
