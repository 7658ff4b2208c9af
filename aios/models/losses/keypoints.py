# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Keypoint losses."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from aios.models.task_modules import (
    PARTS,
    Part,
    PersonTargets,
    object_keypoint_similarity,
)
from aios.registry import MODELS
from aios.utils.choices import check_choice
from aios.utils.tensors import tensor_like

from .person_loss import AvgFactor, PersonLoss, PersonPredictions

_EPS = 1e-6


@MODELS.register_module()
class PartKeypointLoss(PersonLoss):
    """L1 and OKS of body, hand and face keypoints.

    Args:
        oks_area: Area in the OKS: ``'body'``, that of the person's box, as in
            COCO-WholeBody and as published, or ``'part'``, that of the box of
            the hand or face.
        face_count: Average the losses of the face over persons with visible
            keypoints of this part: ``'face'``, or ``'lhand'`` as published,
            with which a batch without visible left hands has no loss of the
            face.

    Raises:
        ValueError: If an option is unknown.
    """

    terms = tuple(
        f'{part.name}_{kind}'
        for part in PARTS
        for kind in ('keypoints', 'oks')
    )

    def __init__(
        self, oks_area: str = 'body', face_count: str = 'face'
    ) -> None:
        super().__init__()
        check_choice('oks_area', oks_area, ('body', 'part'))
        check_choice('face_count', face_count, ('face', 'lhand'))
        self.oks_area = oks_area
        self.face_count = face_count

    def forward(
        self,
        predictions: PersonPredictions,
        targets: PersonTargets,
        terms: Collection[str],
    ) -> dict[str, Tensor]:
        """See the base class."""
        losses = {}
        for part in PARTS:
            points = predictions.points.get(part.point_tokens)
            if points is None:
                continue
            visible = targets.points_visible[part.name]
            valid = targets.box_valid[part.name]
            if (term := f'{part.name}_keypoints') in terms:
                distance = (points - targets.points[part.name]).abs().sum(-1)
                losses[term] = valid * (distance * visible).sum(-1)
            if (term := f'{part.name}_oks') in terms:
                # Zero for persons without a visible point.
                weight = valid * visible.sum(-1) / (visible.sum(-1) + _EPS)
                similarity = self._similarity(part, points, targets)
                losses[term] = weight * (1 - similarity)
        return losses

    def _similarity(
        self, part: Part, points: Tensor, targets: PersonTargets
    ) -> Tensor:
        boxes = targets.boxes[part.name if self.oks_area == 'part' else 'body']
        return object_keypoint_similarity(
            points,
            targets.points[part.name],
            targets.points_visible[part.name],
            boxes[:, 2] * boxes[:, 3],
            tensor_like(part.sigmas, points),
        )

    def avg_factors(self, targets: PersonTargets) -> dict[str, AvgFactor]:
        """See the base class."""
        factors = {}
        for part in PARTS:
            counted = self.face_count if part.name == 'face' else part.name
            seen = targets.points_visible[counted].sum(-1) > 0
            count = (seen * targets.box_valid[part.name]).sum()
            for kind in ('keypoints', 'oks'):
                factors[f'{part.name}_{kind}'] = AvgFactor(count)
        return factors
