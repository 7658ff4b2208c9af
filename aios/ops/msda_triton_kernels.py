# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Multi-scale deformable attention in Triton.

Importing this module imports Triton; :mod:`aios.ops.msda_triton` does so on
the first use of the kernel. A program computes some queries of one head of one
image, all channels at once. Sums have the dtype ``ACC``, float32 or float64,
independent of the dtype of the value.

Legend: ``B`` images, ``S`` cells of all levels, ``Q`` queries, ``H`` heads,
``D`` channels of a head, ``L`` levels, ``K`` points a level. All tensors are
contiguous: value ``(B, S, H, D)``, levels ``(L, 3)`` height, width and first
cell, locations ``(B, Q, H, L, K, 2)``, weights ``(B, Q, H, L, K)``, output
``(B, Q, H, D)``.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _rows(num_queries, num_heads, BLOCK_Q: tl.constexpr):
    """Image and head of a program, rows of its queries, and their mask."""
    image = tl.program_id(1).to(tl.int64) // num_heads
    head = tl.program_id(1) % num_heads
    query = tl.program_id(0) * BLOCK_Q + tl.arange(0, BLOCK_Q)
    row = (image * num_queries + query) * num_heads + head
    return image, head, row, query < num_queries


@triton.jit
def _level(levels, level):
    """Height, width and first cell of a level."""
    entry = levels + 3 * level
    return tl.load(entry), tl.load(entry + 1), tl.load(entry + 2)


@triton.jit
def _sample(
    locations, weights, sample, exists, width, height, ACC: tl.constexpr
):
    """Positions of samples in cells, x and y, and their weights.

    Positions of masked samples are outside.
    """
    x = tl.load(locations + 2 * sample, mask=exists, other=-9.0).to(ACC)
    y = tl.load(locations + 2 * sample + 1, mask=exists, other=-9.0).to(ACC)
    weight = tl.load(weights + sample, mask=exists, other=0.0).to(ACC)
    return x * width - 0.5, y * height - 0.5, weight


@triton.jit
def _corner(x, y, width, height, right: tl.constexpr, down: tl.constexpr):
    """One of the four cells around positions.

    Returns:
        Index of the cell in its level, whether it is inside (false for NaN),
        and its bilinear shares along x and along y.
    """
    column, line = tl.floor(x), tl.floor(y)
    share_x = x - column if right else 1 - (x - column)
    share_y = y - line if down else 1 - (y - line)
    column, line = column + right, line + down
    inside = (column >= 0) & (column < width) & (line >= 0) & (line < height)
    column = tl.where(inside, column, 0).to(tl.int32)
    line = tl.where(inside, line, 0).to(tl.int32)
    return line * width + column, inside, share_x, share_y


@triton.jit
def forward_kernel(
    value,
    levels,
    locations,
    weights,
    output,
    num_cells,
    num_queries,
    num_heads,
    DEPTH: tl.constexpr,
    NUM_LEVELS: tl.constexpr,
    NUM_POINTS: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_D: tl.constexpr,
    ACC: tl.constexpr,
):
    """Compute the output."""
    image, head, row, exists = _rows(num_queries, num_heads, BLOCK_Q)
    channel = tl.arange(0, BLOCK_D)[None, :]
    image_value = value + (image * num_cells * num_heads + head) * DEPTH
    result = tl.zeros((BLOCK_Q, BLOCK_D), dtype=ACC)
    for level in range(NUM_LEVELS):
        height, width, first = _level(levels, level)
        for point in range(NUM_POINTS):
            sample = (row * NUM_LEVELS + level) * NUM_POINTS + point
            x, y, weight = _sample(
                locations, weights, sample, exists, width, height, ACC
            )
            for corner in tl.static_range(4):
                cell, inside, share_x, share_y = _corner(
                    x, y, width, height, corner % 2, corner // 2
                )
                place = (first + cell).to(tl.int64) * num_heads * DEPTH
                cells = tl.load(
                    image_value + place[:, None] + channel,
                    mask=inside[:, None] & (channel < DEPTH),
                    other=0.0,
                ).to(ACC)
                share = tl.where(inside, weight * share_x * share_y, 0)
                result += share[:, None] * cells
    tl.store(
        output + row[:, None] * DEPTH + channel,
        result.to(output.dtype.element_ty),
        mask=exists[:, None] & (channel < DEPTH),
    )


@triton.jit
def backward_kernel(
    gradient,
    value,
    levels,
    locations,
    weights,
    value_gradient,
    location_gradient,
    weight_gradient,
    num_cells,
    num_queries,
    num_heads,
    DEPTH: tl.constexpr,
    NUM_LEVELS: tl.constexpr,
    NUM_POINTS: tl.constexpr,
    BLOCK_Q: tl.constexpr,
    BLOCK_D: tl.constexpr,
    ACC: tl.constexpr,
):
    """Compute all gradients; that of the value by atomic additions."""
    image, head, row, exists = _rows(num_queries, num_heads, BLOCK_Q)
    channel = tl.arange(0, BLOCK_D)[None, :]
    start = (image * num_cells * num_heads + head) * DEPTH
    arriving = tl.load(
        gradient + row[:, None] * DEPTH + channel,
        mask=exists[:, None] & (channel < DEPTH),
        other=0.0,
    ).to(ACC)
    for level in range(NUM_LEVELS):
        height, width, first = _level(levels, level)
        for point in range(NUM_POINTS):
            sample = (row * NUM_LEVELS + level) * NUM_POINTS + point
            x, y, weight = _sample(
                locations, weights, sample, exists, width, height, ACC
            )
            by_weight = tl.zeros((BLOCK_Q,), dtype=ACC)
            by_x = tl.zeros((BLOCK_Q,), dtype=ACC)
            by_y = tl.zeros((BLOCK_Q,), dtype=ACC)
            for corner in tl.static_range(4):
                cell, inside, share_x, share_y = _corner(
                    x, y, width, height, corner % 2, corner // 2
                )
                place = start + (first + cell).to(tl.int64) * num_heads * DEPTH
                mask = inside[:, None] & (channel < DEPTH)
                cells = tl.load(
                    value + place[:, None] + channel, mask=mask, other=0.0
                ).to(ACC)
                dot = tl.sum(cells * arriving, axis=1)
                slope_x = share_y * (2 * (corner % 2) - 1)
                slope_y = share_x * (2 * (corner // 2) - 1)
                by_weight += tl.where(inside, share_x * share_y * dot, 0)
                by_x += tl.where(inside, slope_x * dot, 0)
                by_y += tl.where(inside, slope_y * dot, 0)
                share = tl.where(inside, weight * share_x * share_y, 0)
                tl.atomic_add(
                    value_gradient + place[:, None] + channel,
                    share[:, None] * arriving,
                    mask=mask,
                )
            target = location_gradient + 2 * sample
            tl.store(target, by_x * weight * width, mask=exists)
            tl.store(target + 1, by_y * weight * height, mask=exists)
            tl.store(weight_gradient + sample, by_weight, mask=exists)
