# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Training of MoveNet's last blocks on cached features.

The cache has the output of block 9, from which the blocks after it are
computed again.  The pyramid and the heat maps stay as they are cached; a loss
keeps the pyramid's coarsest level, their only input that changes, near its
former values.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from aios.models.backbones import MoveNet

_FIRST = 10  # the first trained block
# Channels of the maps of strides 16 and 32, see MoveNet.
_MIDDLE = (96, 144, 32)
_COARSE = (240, 64)


def unfreeze(backbone: MoveNet) -> None:
    """Let the layers that :func:`recompute` uses be trained."""
    for layers in (
        backbone.blocks[_FIRST:],
        backbone.last,
        backbone.laterals[3],
    ):
        layers.requires_grad_(True)


def recompute(
    backbone: MoveNet, middle: Tensor, coarse: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the maps of strides 16 and 32 with the current blocks.

    Args:
        backbone: MoveNet.
        middle: ``(B, 272, 2 * h, 2 * w)`` map of stride 16, as cached.
        coarse: ``(B, 304, h, w)`` map of stride 32, as cached.

    Returns:
        The two maps, and the mean squared change of the pyramid's coarsest
        level, in units of its variances.
    """
    mean_16, std_16 = _moments(backbone, 16, _MIDDLE)
    mean_32, std_32 = _moments(backbone, 32, _COARSE)
    block_9, _, fine_level = middle.split(_MIDDLE, 1)
    _, coarse_level = coarse.split(_COARSE, 1)
    x = block_9 * std_16[0] + mean_16[0]
    x = x.contiguous(memory_format=torch.channels_last)
    outputs = {}
    # As in feature_cache.py.
    with torch.autocast(x.device.type, torch.bfloat16):
        for i in range(_FIRST, len(backbone.blocks)):
            x = outputs[i] = backbone.blocks[i](x)
        level = backbone.laterals[3](backbone.last.relu6(x))
    level = (level - mean_32[1]) / std_32[1]
    block_12 = (outputs[12] - mean_16[1]) / std_16[1]
    block_15 = (outputs[15] - mean_32[0]) / std_32[0]
    return (
        torch.cat([block_9, block_12, fine_level], 1),
        torch.cat([block_15, coarse_level], 1),
        F.mse_loss(level, coarse_level),
    )


def _moments(
    backbone: MoveNet, stride: int, sizes: tuple[int, ...]
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Means and deviations of parts of a map, each ``(C, 1, 1)``."""
    mean, std = (
        backbone.get_buffer(f'{name}_{stride}')[:, None, None].split(sizes)
        for name in ('mean', 'std')
    )
    return mean, std
