# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Cells of feature maps.

Legend: ``B`` images, ``L`` levels, ``S`` cells.  Points are x, y.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from aios.utils.tensors import tensor_like


def cell_centers(shape: tuple[int, int], device: torch.device) -> Tensor:
    """Centers of the cells of a map, row by row.

    Args:
        shape: Height and width of the map.
        device: Device of the result.

    Returns:
        ``(S, 2)`` float32, in cells.
    """
    height, width = shape
    # torch.linspace would fix the size in exported files.
    columns = torch.arange(width, device=device)
    rows = torch.arange(height, device=device)[:, None]
    grid = columns.expand(height, -1), rows.expand(-1, width)
    return torch.stack(grid, dim=-1).flatten(0, 1) + 0.5


def level_centers(
    spatial_shapes: Sequence[tuple[int, int]], valid_ratios: Tensor
) -> Tensor:
    """Centers of the cells of all levels.

    Args:
        spatial_shapes: ``(height, width)`` of the levels.
        valid_ratios: ``(B, L, 2)`` unpadded share of width and height.

    Returns:
        ``(B, S, 2)`` fractions of the images without padding.
    """
    return torch.cat(
        [
            cell_centers(shape, valid_ratios.device)
            / (ratio[:, None] * tensor_like(shape[::-1], ratio))
            for shape, ratio in zip(
                spatial_shapes, valid_ratios.unbind(1), strict=True
            )
        ],
        dim=1,
    )


def level_box_logits(
    spatial_shapes: Sequence[tuple[int, int]],
    valid_ratios: Tensor,
    padding: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """A box around each cell, with sizes that double from level to level.

    As in Deformable DETR, whose code fixes sizes in exported files.

    Args:
        spatial_shapes: See :func:`level_centers`.
        valid_ratios: See :func:`level_centers`.
        padding: ``(B, S)`` bool, true on cells outside the images.

    Returns:
        ``(B, S, 4)`` logits of boxes cxcywh, fractions of the images without
        padding; and ``(B, S, 1)`` bool, true for invalid cells: on padding
        and near the edges, where logits are infinite.
    """
    centers = level_centers(spatial_shapes, valid_ratios)
    sides = torch.cat(
        [
            centers.new_full((height * width, 2), 0.05 * 2.0**level)
            for level, (height, width) in enumerate(spatial_shapes)
        ]
    )
    boxes = torch.cat((centers, sides.expand_as(centers)), dim=-1)
    is_empty = ((boxes <= 0.01) | (boxes >= 0.99)).any(-1, keepdim=True)
    if padding is not None:
        is_empty = is_empty | padding[..., None]
    logits = torch.log(boxes / (1 - boxes))
    return logits.masked_fill(is_empty, math.inf), is_empty
