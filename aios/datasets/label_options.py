# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What to make of a HumanData file: options, rules, and the result's type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = [
    'DROP_RULES',
    'KEYPOINTS_2D',
    'KEYPOINTS_3D',
    'DropCount',
    'LabelOptions',
    'LabelTable',
]

KEYPOINTS_2D = (
    'keypoints2d_ori',
    'keypoints2d_smplx',
    'keypoints2d_smpl',
    'keypoints2d_original',
    'keypoints2d_gta',
    'keypoints2d',
)
"""2-D key-points in order of preference."""

KEYPOINTS_3D = (
    'keypoints3d_cam',
    'keypoints3d',
    'keypoints3d_smplx',
    'keypoints3d_smpl',
    'keypoints3d_original',
    'keypoints3d_gta',
)
"""3-D key-points in order of preference."""

DROP_RULES: Mapping[str, str] = {
    'non_finite_bbox': 'the body box is NaN or infinite',
    'empty_bbox': 'the body box has no area inside the picture',
    'low_bbox_confidence': 'the confidence of the body box is too low',
    'non_finite_keypoints2d': 'a 2-D joint is NaN or infinite',
    'non_finite_keypoints3d': 'a 3-D joint is NaN or infinite',
    'non_finite_body_model': 'a body-model parameter is NaN or infinite',
}
"""Rules by which a person is dropped; the first that applies is counted."""


@dataclass(frozen=True)
class LabelOptions:
    """What to make of a file.

    Args:
        kps2d_key: 2-D key-points; default the first of
            :data:`KEYPOINTS_2D` that is present.
        kps3d_key: 3-D key-points; default likewise, and it is fine if there
            are none.
        use_3d: Whether to read 3-D key-points at all.
        image_interval: Take every n-th picture.
        group_by_image: See :meth:`HumanData.images`.
        image_size: ``(height, width)`` of all pictures, for files that do
            not say.
        body_bbox_ratio: Scale of body boxes about their centres.
        part_bbox_ratio: Scale of hand and face boxes.
        min_bbox_conf: Drop persons whose body box has less confidence.
        part_valid_source: What says that a hand or face is annotated:
            ``'bbox'`` the confidence of its box, ``'meta'`` the flags
            ``lefthand_valid``, ``righthand_valid``, ``face_valid``.
        expression_supervises: Whether expressions are labels; false for
            data whose expressions are all zero because nobody fitted them.
        use_betas_neutral: Train with ``betas_neutral`` where the file has
            it.
        hand_mean: ``(90,)`` mean pose of left and right hand that is
            subtracted from the hand poses; None if they are relative to it
            already.
        legacy_eye_swap: Exchange the eyeballs (joints 67 and 68), which the
            caches published with AiOS hold the wrong way round.
    """

    kps2d_key: str | None = None
    kps3d_key: str | None = None
    use_3d: bool = True
    image_interval: int = 1
    group_by_image: bool = True
    image_size: tuple[int, int] | None = None
    body_bbox_ratio: float = 1.0
    part_bbox_ratio: float = 1.0
    min_bbox_conf: float | None = None
    part_valid_source: str = 'bbox'
    expression_supervises: bool = True
    use_betas_neutral: bool = False
    hand_mean: tuple[float, ...] | None = None
    legacy_eye_swap: bool = False

    def __post_init__(self) -> None:
        if self.image_interval < 1:
            raise ValueError(
                f'sample_interval must be >= 1, got {self.image_interval}'
            )
        if self.part_valid_source not in ('bbox', 'meta'):
            raise ValueError(
                "part_valid_source must be 'bbox' or 'meta', got "
                f'{self.part_valid_source!r}'
            )


@dataclass(frozen=True)
class DropCount:
    """How often a rule dropped a person.

    Args:
        rule: Key of :data:`DROP_RULES`.
        persons: How many.
        first_row: Row of the first one in the file.
    """

    rule: str
    persons: int
    first_row: int


@dataclass(frozen=True)
class LabelTable:
    """Labels of all persons of a file.

    Args:
        columns: Arrays whose first axis is persons (names starting with
            ``image_``: pictures).
        info: Everything else, JSON-serialisable.
    """

    columns: dict[str, np.ndarray]
    info: dict[str, Any] = field(default_factory=dict)
