# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Multi-scale deformable attention in plain torch, two ways.

Both run on any device, need no compiler and have gradients; both compute in
float32 at least, because a coordinate of bfloat16 is off by whole pixels.

* :func:`grid_sample_kernel` is the formula of the paper, level by level. It
  is the reference for all other kernels.
* :func:`embedding_bag_kernel` sees a query's samples as *one* weighted sum of
  rows of a table. On a CPU it is several times faster and needs a fraction of
  the memory: no sampled value is ever stored.

Legend: ``B`` images, ``S`` cells of all levels, ``Q`` queries, ``H`` heads,
``D`` channels of a head, ``L`` levels, ``K`` points a level.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

# Samples (Q x H x L x K) that are worked on at once. Their indices and
# weights take 32 bytes each; a chunk of 2**19 stays near the caches.
_SAMPLES_PER_CHUNK = 2**19


def grid_sample_kernel(
    value: Tensor,
    spatial_shapes: Sequence[tuple[int, int]],
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Sample every level with :func:`torch.nn.functional.grid_sample`.

    See :class:`aios.ops.msda_operator.Kernel` for arguments and result.
    """
    batch, _, num_heads = sampling_locations.shape[:3]
    sizes = [height * width for height, width in spatial_shapes]
    grids = 2 * sampling_locations.movedim(2, 1).flatten(0, 1) - 1
    weights = attention_weights.movedim(2, 1).flatten(0, 1)
    output = value.new_zeros(())
    for level, cells in enumerate(value.split(sizes, dim=1)):
        image = cells.permute(0, 2, 3, 1).flatten(0, 1)
        samples = F.grid_sample(
            image.unflatten(-1, spatial_shapes[level]),
            grids[:, :, level],
            align_corners=False,
        )  # (B * H, D, Q, K), zero outside
        weighted = samples * weights[:, None, :, level]
        output = output + weighted.sum(-1)
    output = output.unflatten(0, (batch, num_heads))  # (B, H, D, Q)
    return output.permute(0, 3, 1, 2).flatten(2)


def embedding_bag_kernel(
    value: Tensor,
    spatial_shapes: Sequence[tuple[int, int]],
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Sum the four cells around each sample as rows of one table.

    The table holds all cells of all images, levels and heads. The output of
    a query and head is the sum of ``4 * L * K`` of its rows, weighted with
    attention times bilinear share; a cell outside its level weighs nothing.
    Queries are worked on in chunks, and the chunks are computed again in
    the backward pass instead of being kept.

    See :class:`aios.ops.msda_operator.Kernel` for arguments and result.
    """
    batch, num_cells, num_heads, depth = value.shape
    num_queries = sampling_locations.shape[1]
    if num_queries == 0:
        return value.new_zeros(batch, 0, num_heads * depth)
    levels = _Levels.make(spatial_shapes, value, sampling_locations.shape[-2])
    table = value.reshape(batch * num_cells * num_heads, depth)
    samples_per_query = attention_weights[:, 0].numel()
    chunk = max(_SAMPLES_PER_CHUNK // max(samples_per_query, 1), 1)
    needs_grad = torch.is_grad_enabled() and any(
        tensor.requires_grad
        for tensor in (value, sampling_locations, attention_weights)
    )
    outputs = []
    for start in range(0, num_queries, chunk):
        arguments = (
            table,
            levels,
            sampling_locations[:, start : start + chunk],
            attention_weights[:, start : start + chunk],
        )
        if needs_grad:
            sums = checkpoint(
                _weighted_rows,
                *arguments,
                use_reentrant=False,
                preserve_rng_state=False,
            )
        else:
            sums = _weighted_rows(*arguments)
        outputs.append(sums)
    return torch.cat(outputs, dim=1)


class _Levels(NamedTuple):
    """Where the cells of each level lie in the table, all int32.

    ``width``, ``height`` and ``line_stride`` are ``(L * K,)``, one entry for
    each point; ``first_row`` is ``(B, 1, H, 1, L * K)``. More rows than
    int32 can count would not fit into memory.
    """

    width: Tensor
    height: Tensor
    line_stride: Tensor
    first_row: Tensor

    @classmethod
    def make(
        cls,
        spatial_shapes: Sequence[tuple[int, int]],
        value: Tensor,
        num_points: int,
    ) -> _Levels:
        batch, num_cells, num_heads, _ = value.shape
        options: dict[str, Any] = dict(dtype=torch.int32, device=value.device)
        rows, start = [], 0
        for lines, columns in spatial_shapes:
            rows.append((columns, lines, columns * num_heads, start))
            start += lines * columns * num_heads
        points = torch.tensor(rows, **options).repeat_interleave(num_points, 0)
        width, height, line_stride, level = points.unbind(1)
        image = torch.arange(batch, **options) * (num_cells * num_heads)
        head = torch.arange(num_heads, **options)
        first_row = image.view(-1, 1, 1, 1, 1) + head.view(-1, 1, 1) + level
        return cls(width, height, line_stride, first_row)


def _weighted_rows(
    table: Tensor, levels: _Levels, locations: Tensor, weights: Tensor
) -> Tensor:
    """Output ``(B, Q, H * D)`` of one chunk of queries.

    Args:
        table: ``(B * S * H, D)``.
        levels: Where the levels lie in the table.
        locations: ``(B, Q, H, L, K, 2)``.
        weights: ``(B, Q, H, L, K)``.
    """
    batch, num_queries, num_heads = locations.shape[:3]
    x, y = locations.flatten(3, 4).unbind(-1)
    column, x_share = _two_nearest(x, levels.width)
    line, y_share = _two_nearest(y, levels.height)
    column = column * num_heads
    line = line * levels.line_stride + levels.first_row
    y_share = y_share * weights.flatten(3).unsqueeze(-2)
    # (B, Q, H, 2 lines, 2 columns, L * K)
    rows = line.unsqueeze(-2) + column.unsqueeze(-3)
    shares = y_share.unsqueeze(-2) * x_share.unsqueeze(-3)
    num_bags = batch * num_queries * num_heads
    output = F.embedding_bag(
        rows.view(num_bags, -1),
        table,
        per_sample_weights=shares.view(num_bags, -1),
        mode='sum',
    )
    return output.view(batch, num_queries, -1)


def _two_nearest(location: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """The two cells around a location along one axis, as ``(..., 2, L * K)``.

    Args:
        location: ``(..., L * K)``, 0 and 1 are the outer edges of a level.
        size: Cells along this axis, ``(L * K,)``.

    Returns:
        Cell numbers (int32) and bilinear shares. Cells outside the level
        have number 0 and share 0, also for NaN and infinite locations.
    """
    position = location * size - 0.5
    first = position.floor()
    fraction = position - first
    cells = torch.stack([first, first + 1], dim=-2)
    shares = torch.stack([1 - fraction, fraction], dim=-2)
    inside = (cells >= 0) & (cells < size)
    cells = torch.where(inside, cells, 0).to(torch.int32)
    return cells, torch.where(inside, shares, 0)
