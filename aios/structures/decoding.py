# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Which candidates of a network are returned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .sample import PERSON_LABEL


@dataclass(frozen=True)
class DecodingConfig:
    """The ``test_cfg`` of a model.

    Args:
        max_per_img: Largest number of persons returned.
        score_thr: Persons with a lower score are left out.
        nms_iou_thr: Persons whose box overlaps that of a better one by more
            than this are left out; negative for no suppression, as
            published.
        person_class_only: Rank by the score of the class person.  As
            published, every pair of candidate and class is ranked, and a
            person could come out twice.
        max_candidates: Candidates that leave the first decoder stage, fewer
            than the decoder's ``num_persons``; ``None`` for all of them.
            Saves time; results change slightly, because candidates see each
            other.
        with_vertices: Return meshes.
        keypoint_fit_steps: Steps that bend the bodies to the keypoints, see
            :func:`aios.body_models.fit_to_keypoints`; 0, as published, for
            none.
        person_label: Label of persons in results: 1, as published, or 0 for
            metrics that count from zero, such as ``mmdet.CocoMetric``; class
            0 of the network is then left out.  The metrics of this project
            read both.

    Raises:
        TypeError: By Python, for an unknown key.
        ValueError: If a value makes no sense.
    """

    max_per_img: int = 50
    score_thr: float = 0.0
    nms_iou_thr: float = -1.0
    person_class_only: bool = False
    max_candidates: int | None = None
    with_vertices: bool = True
    keypoint_fit_steps: int = 0
    person_label: int = PERSON_LABEL

    def __post_init__(self) -> None:
        if self.person_label not in (0, PERSON_LABEL):
            raise ValueError(
                f'test_cfg.person_label must be 0 or {PERSON_LABEL}, got '
                f'{self.person_label}'
            )
        for name in ('max_per_img', 'max_candidates'):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(
                    f'test_cfg.{name} must be positive, got {value}'
                )
        if self.keypoint_fit_steps < 0:
            raise ValueError(
                'test_cfg.keypoint_fit_steps must not be negative, got '
                f'{self.keypoint_fit_steps}'
            )

    @classmethod
    def read(cls, test_cfg: Mapping[str, Any] | None) -> DecodingConfig:
        """Read a ``test_cfg``, which may be ``None``."""
        return cls(**(test_cfg or {}))
