# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Focal loss (Lin et al., ICCV 2017)."""

from __future__ import annotations

import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import Tensor

from aios.registry import MODELS


@MODELS.register_module()
class SigmoidFocalLoss(BaseModule):
    """Focal loss of independent classes, in plain PyTorch.

    Equal to ``mmdet.FocalLoss(use_sigmoid=True)``, which on GPUs needs a
    compiled operator.

    Args:
        gamma: Exponent of the modulating factor.
        alpha: Weight of positives; negatives have one minus this.
    """

    def __init__(self, gamma: float = 2.0, alpha: float = 0.25) -> None:
        super().__init__()
        self.gamma = gamma
        self.alpha = alpha

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Sum of the loss over all elements.

        Args:
            logits: ``(..., C)``.
            target: ``(..., C)`` 0/1.
        """
        p = logits.sigmoid()
        entropy = F.binary_cross_entropy_with_logits(
            logits, target, reduction='none'
        )
        wrong = p + target - 2 * p * target
        weight = self.alpha * target + (1 - self.alpha) * (1 - target)
        return (weight * wrong**self.gamma * entropy).sum()
