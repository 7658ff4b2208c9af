# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""A feature pyramid for backbones of a single resolution.

Legend: ``B`` images, ``C`` channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mmcv.cnn import ConvModule
from mmengine.model import BaseModule, ModuleList
from torch import Tensor, nn

from aios.registry import MODELS


@MODELS.register_module()
class SimpleFeaturePyramid(BaseModule):
    """Levels of several resolutions from the last map of a plain ViT.

    Follows *Exploring Plain Vision Transformer Backbones for Object
    Detection* (Li et al., ECCV 2022, Sec. 3): each level is computed from the
    same map by deconvolutions or pooling, a 1x1 and a 3x3 convolution.

    Args:
        in_channels: Channels of the map.
        out_channels: Channels of all levels.
        scales: Resolution of each level relative to the map, powers of 2.
            With patches of 16 pixels the default gives strides 8 to 64.
        norm_cfg: Normalization after each convolution.
        init_cfg: Initialization, see :class:`mmengine.model.BaseModule`.

    Raises:
        ValueError: If a scale is not a power of 2.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int = 256,
        scales: Sequence[float] = (2, 1, 0.5, 0.25),
        norm_cfg: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        norm_cfg = norm_cfg or dict(type='GN', num_groups=32)
        self.levels = ModuleList(
            _level(in_channels, out_channels, scale, norm_cfg)
            for scale in scales
        )

    def forward(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Compute the levels.

        Args:
            inputs: Outputs of the backbone, of which only the last is used,
                ``(B, C, height, width)``.

        Returns:
            One map for each scale, sizes rounded up.
        """
        return tuple(level(inputs[-1]) for level in self.levels)


def _level(
    in_channels: int,
    out_channels: int,
    scale: float,
    norm_cfg: dict[str, Any],
) -> nn.Sequential:
    steps = math.log2(scale) if scale > 0 else math.nan
    if not steps.is_integer():
        raise ValueError(f'scales must be powers of 2, got {scale}')
    layers: list[nn.Module] = []
    channels = in_channels
    for _ in range(int(steps)):
        layers += [
            nn.ConvTranspose2d(channels, channels // 2, 2, 2),
            nn.GELU(),
        ]
        channels //= 2
    for _ in range(-int(steps)):
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
    options = dict(norm_cfg=norm_cfg, act_cfg=None)
    layers.append(ConvModule(channels, out_channels, 1, **options))
    layers.append(
        ConvModule(out_channels, out_channels, 3, padding=1, **options)
    )
    return nn.Sequential(*layers)
