# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Checks that the parts of a detector fit each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mmcv.ops import MultiScaleDeformableAttention
from torch import Tensor, nn


def check_positive(**numbers: int) -> None:
    """Raise ``ValueError`` if a number, by name, is not positive."""
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f'{name} must be positive, got {number}')


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


def check_channels(
    neck: Any, maps: Sequence[Tensor], pose_maps: Sequence[Tensor] = ()
) -> None:
    """Check that the channels of neck and backbone are equal.

    Args:
        neck: Config of the neck, or of several in a row.  ``in_channels`` is
            a list for all maps or a number for one of them; other values are
            not checked.
        maps: ``(B, channels, height, width)`` maps of the backbone.
        pose_maps: Its last map, if the decoder has a pose prior.

    Raises:
        ValueError: If they differ.
    """
    first = neck if isinstance(neck, Mapping) else neck[0]
    in_channels = first.get('in_channels')
    channels = [x.shape[1] for x in maps]
    if isinstance(in_channels, (list, tuple)):
        # Some necks list channels in reverse order.
        fits = sorted(in_channels) == sorted(channels)
    else:
        fits = not isinstance(in_channels, int) or in_channels in channels
    if not fits:
        raise ValueError(
            f'neck.in_channels is {in_channels}, but the backbone outputs '
            f'{len(maps)} maps with {channels} channels'
            + ''.join(
                f', and for decoder.pose_prior one with {x.shape[1]}'
                for x in pose_maps
            )
        )


def check_neck(
    maps: Sequence[Tensor], num_levels: int, embed_dims: int
) -> None:
    """Check the outputs of the neck.

    Args:
        maps: ``(B, channels, height, width)`` outputs of the neck.
        num_levels: Feature levels of the detector.
        embed_dims: Width of the encoder.

    Raises:
        ValueError: If their number or their channels differ.
    """
    channels = [x.shape[1] for x in maps]
    if channels != [embed_dims] * num_levels:
        raise ValueError(
            f'num_feature_levels is {num_levels} and the width of the encoder '
            f'{embed_dims}, but the neck has {len(maps)} outputs with '
            f'{channels} channels'
        )
