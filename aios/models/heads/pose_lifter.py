# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Rotations of joints from 2-D keypoints.

Keypoints differ less between synthetic and real persons than pixels, and a
network that only uses keypoints can be trained on posed skeletons without
images (Martinez et al., ICCV 2017).  Not in the AiOS paper.

Legend: ``K`` = 17 keypoints of COCO.
"""

from __future__ import annotations

import torch
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from aios.structures import (
    COCO_17,
    matrix_to_rotation_6d,
    rotation_6d_to_matrix,
)

from .smplx_head import IDENTITY_6D, UPRIGHT_6D

_NUM_JOINTS = 22
_UNSEEN_WEIGHT = 1e-3  # of undetected keypoints in the mean
_MAX_OFFSET = 5.0  # in units of the keypoints' spread


class PoseLifter(BaseModule):
    """An MLP with residual blocks.

    It is trained separately (``projects/free_model/train_lifter.py``) and
    frozen in a detector.

    Args:
        hidden_dims: Width of hidden layers.
        num_blocks: Number of residual blocks.
        share: Weight of its rotations in :meth:`blend` for certain keypoints;
            those of the detector have the rest.
        trust: Mean probabilities of a person's keypoints between which its
            weight increases linearly from 0 to ``share``.

    Raises:
        ValueError: If the second value of ``trust`` is not the larger one.
    """

    def __init__(
        self,
        hidden_dims: int = 512,
        num_blocks: int = 3,
        share: float = 0.5,
        trust: tuple[float, float] = (0.3, 0.5),
    ) -> None:
        super().__init__()
        low, high = trust
        if not low < high:
            raise ValueError(f'trust must ascend, got {low}, {high}')
        self.share = share
        self.trust = trust
        self.input = nn.Linear(3 * len(COCO_17), hidden_dims)
        self.blocks = ModuleList(
            nn.Sequential(
                nn.LayerNorm(hidden_dims),
                nn.ReLU(),
                nn.Linear(hidden_dims, hidden_dims),
                nn.ReLU(),
                nn.Linear(hidden_dims, hidden_dims),
            )
            for _ in range(num_blocks)
        )
        self.output = nn.Linear(hidden_dims, 6 * _NUM_JOINTS)

    def init_weights(self) -> None:
        """Initialize to the rest pose."""
        super().init_weights()
        nn.init.zeros_(self.output.weight)
        rest = torch.tensor(UPRIGHT_6D + IDENTITY_6D * (_NUM_JOINTS - 1))
        self.output.bias.data.copy_(rest)

    def forward(self, keypoints: Tensor, heat: Tensor) -> Tensor:
        """Rotations of the root and 21 joints.

        Args:
            keypoints: ``(..., K, 2)`` x, y with any origin and unit, the same
                for both axes.
            heat: ``(..., K)`` probability of each keypoint, 0 if it is not
                detected.

        Returns:
            ``(..., 22, 3, 3)``; that of the root is from body to camera.
        """
        x = self.input(_normalize(keypoints, heat.to(keypoints)))
        for block in self.blocks:
            x = x + block(x)
        return rotation_6d_to_matrix(
            self.output(x.relu()).unflatten(-1, (_NUM_JOINTS, 6))
        )

    def blend(
        self, rotations: Tensor, keypoints: Tensor, heat: Tensor
    ) -> Tensor:
        """Weighted means of the rotations of a detector and of the lifter.

        Args:
            rotations: ``(..., 22, 3, 3)`` of the detector.
            keypoints: See :meth:`forward`.
            heat: See :meth:`forward`.

        Returns:
            ``(..., 22, 3, 3)``.
        """
        lifted = self(keypoints, heat)
        low, high = self.trust
        certainty = (heat.to(keypoints).mean(-1) - low) / (high - low)
        share = self.share * certainty.clamp(0, 1)[..., None, None]
        mean = torch.lerp(
            matrix_to_rotation_6d(rotations),
            matrix_to_rotation_6d(lifted),
            share,
        )
        return rotation_6d_to_matrix(mean)


def _normalize(keypoints: Tensor, heat: Tensor) -> Tensor:
    """Keypoints, standardized per person, and heat, ``(..., 3 K)``."""
    weight = heat + _UNSEEN_WEIGHT
    weight = (weight / weight.sum(-1, keepdim=True))[..., None]
    offset = keypoints - (keypoints * weight).sum(-2, keepdim=True)
    spread = (offset.square() * weight).sum((-1, -2), keepdim=True).sqrt()
    offset = (offset / spread.clamp(min=1e-6)).clamp(-_MAX_OFFSET, _MAX_OFFSET)
    return torch.cat((offset.flatten(-2), heat), dim=-1)
