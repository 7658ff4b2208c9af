# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Parts of a person and the layout of SMPL-X poses."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .joints import SMPLX_ROTATIONS_53

PARTS = ('lhand', 'rhand', 'face')
"""Parts with boxes of their own, as spelled in field names."""

PERSON_LABEL = 1
"""Class of persons; class 0 is never a target."""

GENDER_NAMES: Mapping[int, str] = MappingProxyType(
    {-1: 'neutral', 0: 'male', 1: 'female'}
)
"""Values of the field ``gender``."""

_BODY = list(SMPLX_ROTATIONS_53.groups['body'])
POSE_ROWS: Mapping[str, list[int]] = MappingProxyType(
    {
        'global_orient': _BODY[:1],
        'body_pose': _BODY[1:],
        'left_hand_pose': list(SMPLX_ROTATIONS_53.groups['left_hand']),
        'right_hand_pose': list(SMPLX_ROTATIONS_53.groups['right_hand']),
        'jaw_pose': list(SMPLX_ROTATIONS_53.groups['face']),
    }
)
"""Rows of the field ``smplx_pose`` for each argument of a body model."""

POSE_JOINTS: Mapping[str, int] = {
    'global_orient': 1,
    'body_pose': 21,
    'jaw_pose': 1,
    'leye_pose': 1,
    'reye_pose': 1,
    'left_hand_pose': 15,
    'right_hand_pose': 15,
}
"""Pose arguments and their number of joints, in the order of the 55 joints."""
