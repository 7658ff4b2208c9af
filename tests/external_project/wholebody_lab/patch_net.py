# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""A backbone defined in the external project."""

from __future__ import annotations

from mmengine.model import BaseModule
from torch import Tensor, nn

from .registry import MODELS


@MODELS.register_module()
class PatchNet(BaseModule):
    """Strided patches, then three feature maps of halving size.

    Args:
        widths: Channels of the feature maps, of strides 8, 16 and 32.
        init_cfg: Initialization, see :class:`mmengine.model.BaseModule`.
    """

    def __init__(
        self,
        widths: tuple[int, int, int] = (16, 32, 64),
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.stages = nn.ModuleList()
        channels, stride = 3, 8
        for width in widths:
            conv = nn.Conv2d(channels, width, stride, stride)
            self.stages.append(nn.Sequential(conv, nn.GELU()))
            channels, stride = width, 2

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """``(B, 3, H, W)`` images to feature maps, finest first."""
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return tuple(maps)
