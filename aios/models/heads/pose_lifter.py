# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""From keypoints in the image to rotations of joints.

Pixels of synthetic persons are not those of real ones, keypoints are nearly
the same.  A network that reads nothing else learns from any number of posed
skeletons, without an image (Martinez et al., ICCV 2017).  Not in the AiOS
paper.

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
_UNSEEN_WEIGHT = 1e-3  # in the mean place; all may be unseen
_MAX_OFFSET = 5.0  # in units of the keypoints' spread


class PoseLifter(BaseModule):
    """An MLP with residual blocks.

    It is trained apart (``projects/free_model/train_lifter.py``) and fixed
    in a detector.

    Args:
        hidden_dims: Width.
        num_blocks: Residual blocks.
        share: What its rotations count in :meth:`blend` where keypoints are
            certain; those of the detector count the rest.
        trust: Mean probability of a person's keypoints up to which it counts
            nothing, and from which on it counts ``share``.
    """

    def __init__(
        self,
        hidden_dims: int = 512,
        num_blocks: int = 3,
        share: float = 0.5,
        trust: tuple[float, float] = (0.3, 0.5),
    ) -> None:
        super().__init__()
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
        """Start with the rest pose."""
        super().init_weights()
        nn.init.zeros_(self.output.weight)
        rest = torch.tensor(UPRIGHT_6D + IDENTITY_6D * (_NUM_JOINTS - 1))
        self.output.bias.data.copy_(rest)

    def forward(self, keypoints: Tensor, heat: Tensor) -> Tensor:
        """Rotations of the root and 21 joints.

        Args:
            keypoints: ``(..., K, 2)`` x, y in any unit and from any origin,
                the same along both axes.
            heat: ``(..., K)`` probability of each keypoint, which says how
                far beside it may be; 0 where it is not seen.

        Returns:
            ``(..., 22, 3, 3)``, the root's from the body to the camera.
        """
        x = self.input(_normalise(keypoints, heat.to(keypoints)))
        for block in self.blocks:
            x = x + block(x)
        return rotation_6d_to_matrix(
            self.output(x.relu()).unflatten(-1, (_NUM_JOINTS, 6))
        )

    def blend(
        self, rotations: Tensor, keypoints: Tensor, heat: Tensor
    ) -> Tensor:
        """Means of a detector's rotations and these.

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


def _normalise(keypoints: Tensor, heat: Tensor) -> Tensor:
    """Keypoints about their mean in units of their spread, ``(..., 3 K)``."""
    weight = heat + _UNSEEN_WEIGHT
    weight = (weight / weight.sum(-1, keepdim=True))[..., None]
    offset = keypoints - (keypoints * weight).sum(-2, keepdim=True)
    spread = (offset.square() * weight).sum((-1, -2), keepdim=True).sqrt()
    offset = (offset / spread.clamp(min=1e-6)).clamp(-_MAX_OFFSET, _MAX_OFFSET)
    return torch.cat((offset.flatten(-2), heat), dim=-1)
