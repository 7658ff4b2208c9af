# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Filter of the persons that a model returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class InstanceFilter:
    """Filter of the persons that a model returns.

    Args:
        score_thr: Lowest score.
        max_persons: Largest number of persons per image, those with the
            highest scores; ``None`` for the limit of the model.
        nms_iou: IoU threshold of non-maximum suppression; ``None`` for the
            value of the config.

    Raises:
        ValueError: If a number is out of its range.
    """

    score_thr: float = 0.3
    max_persons: int | None = None
    nms_iou: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.score_thr <= 1:
            raise ValueError(
                f'score_thr must be in 0..1, got {self.score_thr}'
            )
        if self.max_persons is not None and self.max_persons < 1:
            raise ValueError(
                f'max_persons must be at least 1, got {self.max_persons}'
            )
        if self.nms_iou is not None and not 0 <= self.nms_iou <= 1:
            raise ValueError(f'nms_iou must be in 0..1, got {self.nms_iou}')

    def test_cfg(self, base: Mapping[str, Any]) -> dict[str, Any]:
        """``test_cfg`` of the model with these values."""
        changed = dict(base, score_thr=self.score_thr)
        if self.nms_iou is not None:
            changed['nms_iou_thr'] = self.nms_iou
        most = self.max_persons or 0
        changed['max_per_img'] = max(most, base.get('max_per_img', 50))
        return changed
