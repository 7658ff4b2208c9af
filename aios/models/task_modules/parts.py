# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The parts of a person in losses and match costs."""

from __future__ import annotations

from dataclasses import dataclass

from aios.structures import (
    COCO_17,
    FACE_6,
    LEFT_HAND_6,
    RIGHT_HAND_6,
    SMPLX_137,
    SMPLX_ROTATIONS_53,
    JointSet,
)
from aios.structures.keypoint_similarity import COCO_SIGMAS

_LIMB_SIGMAS = (0.025,) * 6


@dataclass(frozen=True)
class Part:
    """One part of a person and its names.

    Args:
        name: Name in losses and ground-truth fields.
        group: Name in tokens and joint groups.
        points: Its keypoint tokens.
        sigmas: Constants of the object keypoint similarity.
        root: Root joint of ``smplx_137`` for root-aligned losses.
    """

    name: str
    group: str
    points: JointSet
    sigmas: tuple[float, ...]
    root: str

    @property
    def box_tokens(self) -> str:
        """Name of its box among the tokens."""
        return f'{self.group}_box'

    @property
    def point_tokens(self) -> str:
        """Name of its keypoints among the tokens."""
        return f'{self.group}_keypoints'

    @property
    def joints(self) -> slice:
        """Its joints in ``smplx_137``."""
        return _span(SMPLX_137.groups[self.group])

    @property
    def rotations(self) -> slice:
        """Its joints in ``smplx_rotations_53``."""
        return _span(SMPLX_ROTATIONS_53.groups[self.group])


def _span(indices: tuple[int, ...]) -> slice:
    """Consecutive indices as a slice, which needs no device copy."""
    first, last = min(indices), max(indices)
    if len(indices) != last - first + 1:
        raise ValueError(f'indices must be consecutive, got {indices}')
    return slice(first, last + 1)


BODY = Part('body', 'body', COCO_17, COCO_SIGMAS, 'pelvis')
LIMBS: tuple[Part, ...] = (
    Part('lhand', 'left_hand', LEFT_HAND_6, _LIMB_SIGMAS, 'left_wrist'),
    Part('rhand', 'right_hand', RIGHT_HAND_6, _LIMB_SIGMAS, 'right_wrist'),
    Part('face', 'face', FACE_6, _LIMB_SIGMAS, 'neck'),
)
"""Parts that may be missing."""
PARTS: tuple[Part, ...] = (BODY, *LIMBS)
