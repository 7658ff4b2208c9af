# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Losses of denoising queries, which need no matching.

Legend: ``B`` images, ``D`` denoising queries of an image, ``C`` classes.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from mmengine.model import BaseModule
from torch import Tensor

from aios.models.layers.denoising import DenoisingQueries
from aios.registry import MODELS
from aios.utils.choices import check_choice

from .boxes import box_giou_loss, box_l1_loss
from .focal import SigmoidFocalLoss
from .person_loss import AvgFactor


@MODELS.register_module()
class DenoisingLoss(BaseModule):
    """Class, L1 and GIoU losses of noised persons (DN-DETR, Sec. 4.3).

    Args:
        avg_factor: Divisor of sums over the batch: ``'persons'``, the number
            of queries with a person in the batch, or ``'queries'``, that of
            the queries of *one* image, as published, with which losses grow
            with the batch size.
        random_boxes: Also use the random boxes of images without persons as
            targets, as published.

    Raises:
        ValueError: If ``avg_factor`` is unknown.
    """

    terms = 'dn_cls', 'dn_bbox', 'dn_giou'

    def __init__(
        self, avg_factor: str = 'persons', random_boxes: bool = False
    ) -> None:
        super().__init__()
        check_choice('avg_factor', avg_factor, ('persons', 'queries'))
        self.avg_factor = avg_factor
        self.random_boxes = random_boxes

    def forward(
        self,
        logits: Tensor,
        boxes: Tensor,
        queries: DenoisingQueries,
        loss_cls: SigmoidFocalLoss,
        terms: Collection[str],
    ) -> dict[str, Tensor]:
        """Sums over the batch.

        Args:
            logits: ``(B, D, C)``.
            boxes: ``(B, D, 4)`` cxcywh.
            queries: The queries and their targets.
            loss_cls: Loss of the classes.
            terms: The :attr:`terms` that have a weight.

        Returns:
            Terms to scalars.
        """
        num_classes = logits.shape[-1]
        labels = queries.target_labels
        totals = {}
        if 'dn_cls' in terms:
            # Background has no column. F.one_hot would synchronize.
            classes = torch.arange(num_classes, device=labels.device)
            one_hot = (labels[..., None] == classes).to(logits)
            totals['dn_cls'] = loss_cls(logits, one_hot)
        target = queries.target_boxes.to(boxes)
        for term, function in (
            ('dn_bbox', box_l1_loss),
            ('dn_giou', box_giou_loss),
        ):
            if term in terms:
                loss = function(boxes, target)
                if not self.random_boxes:
                    loss = loss * (labels < num_classes)
                totals[term] = loss.sum()
        return totals

    def avg_factors(
        self, queries: DenoisingQueries, num_classes: int
    ) -> dict[str, AvgFactor]:
        """Divisor of each loss.

        Args:
            queries: The queries and their targets.
            num_classes: ``C``; higher labels are background.
        """
        labels = queries.target_labels
        if self.avg_factor == 'persons':
            count = (labels < num_classes).sum()
        else:
            count = labels.new_full((), labels.shape[1])
        factors = dict.fromkeys(self.terms, AvgFactor(count))
        # Without persons there is still the loss of the background.
        factors['dn_cls'] = AvgFactor(count.clamp(min=1))
        return factors
