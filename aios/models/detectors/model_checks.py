# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Checks that the parts of a detector fit each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmcv.ops import MultiScaleDeformableAttention
from torch import Tensor, nn


def check_widths(**widths: int) -> None:
    """Raise ``ValueError`` if parts, by name, have different widths."""
    if len(set(widths.values())) > 1:
        raise ValueError(f'widths must be equal, got {widths}')


def check_levels(num_levels: int, *parts: nn.Module) -> None:
    """Check the attention of encoder and decoder.

    Args:
        num_levels: Feature levels of the detector.
        *parts: Modules with deformable attention.

    Raises:
        ValueError: If a module has another number of levels.
    """
    for part in parts:
        for module in part.modules():
            if not isinstance(module, MultiScaleDeformableAttention):
                continue
            if module.num_levels != num_levels:
                raise ValueError(
                    f'num_feature_levels is {num_levels}, but num_levels of '
                    f'attention in {type(part).__name__} is '
                    f'{module.num_levels}'
                )


def check_channels(in_channels: Any, maps: Sequence[Tensor]) -> None:
    """Check that the channels of neck and backbone are equal.

    Args:
        in_channels: Value of the config of the neck; only checked if a list.
        maps: ``(B, channels, height, width)`` maps of the backbone.

    Raises:
        ValueError: If they differ.
    """
    if not isinstance(in_channels, (list, tuple)):
        return
    channels = [x.shape[1] for x in maps]
    # Some necks list channels in reverse order.
    if sorted(in_channels) != sorted(channels):
        raise ValueError(
            f'neck.in_channels is {list(in_channels)}, but the backbone '
            f'outputs {len(maps)} maps with {channels} channels'
        )
