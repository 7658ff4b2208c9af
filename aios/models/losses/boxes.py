# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Box losses."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from aios.models.task_modules import PARTS, PersonTargets
from aios.registry import MODELS
from aios.structures import cxcywh_to_xyxy, generalized_box_iou

from .person_loss import AvgFactor, PersonLoss, PersonPredictions


def box_l1_loss(boxes: Tensor, target: Tensor) -> Tensor:
    """Sum of the four absolute differences, ``(..., 4)`` to ``(...,)``."""
    return (boxes - target).abs().sum(-1)


def box_giou_loss(boxes: Tensor, target: Tensor) -> Tensor:
    """One minus the generalized IoU.

    Args:
        boxes: ``(..., 4)`` cxcywh.
        target: ``(..., 4)`` cxcywh.

    Returns:
        ``(...,)`` in [0, 2].
    """
    return 1 - generalized_box_iou(
        cxcywh_to_xyxy(boxes), cxcywh_to_xyxy(target)
    )


_KINDS = {'bbox': box_l1_loss, 'giou': box_giou_loss}


@MODELS.register_module()
class PartBoxLoss(PersonLoss):
    """L1 and GIoU of annotated body, hand and face boxes."""

    terms = tuple(f'{part.name}_{kind}' for part in PARTS for kind in _KINDS)

    def forward(
        self,
        predictions: PersonPredictions,
        targets: PersonTargets,
        terms: Collection[str],
    ) -> dict[str, Tensor]:
        """See the base class."""
        losses = {}
        for part in PARTS:
            boxes = predictions.boxes.get(part.box_tokens)
            if boxes is None:
                continue
            target = targets.boxes[part.name]
            valid = targets.box_valid[part.name]
            for kind, function in _KINDS.items():
                if (term := f'{part.name}_{kind}') in terms:
                    losses[term] = valid * function(boxes, target)
        return losses

    def avg_factors(self, targets: PersonTargets) -> dict[str, AvgFactor]:
        """See the base class."""
        counts = {
            part.name: (targets.box_valid[part.name] > 0).sum()
            for part in PARTS
        }
        return {
            f'{part}_{kind}': AvgFactor(count)
            for part, count in counts.items()
            for kind in _KINDS
        }
