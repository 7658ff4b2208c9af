# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Loops of multi-scale deformable attention, compiled by numba.

Importing this module imports numba; :mod:`aios.ops.msda_cpu` does so on the
first use of the kernel. The loops release the GIL: calls for different heads
or levels may run in several threads.

Legend: ``B`` images, ``S`` cells of all levels, ``Q`` queries, ``H`` heads,
``D`` channels of a head, ``L`` levels, ``K`` points a level. The value is
``(B, H, S, D)`` here: adjacent cells of a row are adjacent in memory. All
arrays are C-contiguous and of one dtype, float32 or float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types

# Vectorization needs reordered sums. NaN and infinity are preserved.
_FASTMATH = {'contract', 'nsz', 'reassoc'}


# A callee inherits fast maths unless it is disabled.
@numba.njit(fastmath=False)
def _position(location, size, half):
    """Location in cells, rounded as in the torch kernels."""
    return location * size - half


@numba.njit(fastmath=_FASTMATH)
def _two_cells(position, size, one):
    """The two cells that a position lies between, both inside the level.

    Returns:
        Index of the first cell, position relative to it, and the bilinear
        shares of the first and of the second cell. Next to the border the
        position is outside both, and one share is zero. A level of size 1
        has no second cell; its share is zero.
    """
    # Python's floor (which returns an integer) and max (which checks for NaN)
    # are several times slower.
    zero = one - one
    first = min(np.floor(position), size - one - one)
    first = first if first > zero else zero
    offset = position - first
    near = one - abs(offset)
    near = near if near > zero else zero
    far = one - abs(offset - one)
    far = far if far > zero and size > one else zero
    return np.int32(first), offset, near, far


@numba.njit(fastmath=_FASTMATH)
def _slopes(offset, size, one):
    """Derivatives of the two shares of :func:`_two_cells` by position."""
    zero = one - one
    near = one if offset < zero else (-one if offset < one else zero)
    far = zero if offset < zero else (one if offset < one else -one)
    return near, far if size > one else zero


@numba.njit(fastmath=_FASTMATH)
def _add_scaled(target, factor, row):
    for channel in range(len(row)):
        target[channel] += factor * row[channel]


@numba.njit(fastmath=False)
def _location(reference, offset, divisor, factor):
    """Reference plus offset, rounded as :func:`sampling_locations` does."""
    return reference + offset / divisor * factor


def forward_loop(
    value,
    sizes,
    references,
    samples,
    weights,
    output,
    image,
    head,
    start,
    stop,
):
    """Compute one head of some queries.

    Args:
        value: ``(B, H, S, D)``.
        sizes: ``(L, 2)`` height and width of the levels.
        references: ``(B, Q, L, 2)`` points, ``(B, Q, L, 4)`` boxes, or
            ``(B, Q, L, 0)`` if samples are locations.
        samples: ``(B, Q, H, L, K, 2)`` x, y: locations, of which a level
            covers ``[0, 1]``, or offsets from the references, see
            :func:`aios.ops.sampling_locations`.
        weights: ``(B, Q, H, L, K)``.
        output: ``(B, Q, H, D)``, gets the result.
        image: Number of the image.
        head: Number of the head.
        start: First query.
        stop: Query after the last.
    """
    one, half = sizes.dtype.type(1), sizes.dtype.type(0.5)
    num_points = sizes.dtype.type(weights.shape[4])
    cells = value[image, head]
    for query in range(start, stop):
        result = output[image, query, head]
        result[:] = 0
        level_start = 0
        for level in range(len(sizes)):
            height, width = sizes[level]
            down = int(width) if height > one else 0
            right = 1 if width > one else 0
            reference = references[image, query, level]
            boxes = len(reference) == 4
            divisor_x = num_points if boxes else width
            divisor_y = num_points if boxes else height
            factor_x = reference[2] * half if boxes else one
            factor_y = reference[3] * half if boxes else one
            for point in range(weights.shape[4]):
                sample = samples[image, query, head, level, point]
                x, y = sample[0], sample[1]
                if len(reference) > 0:
                    x = _location(reference[0], x, divisor_x, factor_x)
                    y = _location(reference[1], y, divisor_y, factor_y)
                x = _position(x, width, half)
                y = _position(y, height, half)
                # NaN also counts as outside.
                if not (-one < x < width and -one < y < height):
                    continue
                column, _, share_l, share_r = _two_cells(x, width, one)
                line, _, share_t, share_b = _two_cells(y, height, one)
                weight = weights[image, query, head, level, point]
                share_t, share_b = share_t * weight, share_b * weight
                share_tl, share_tr = share_t * share_l, share_t * share_r
                share_bl, share_br = share_b * share_l, share_b * share_r
                cell = level_start + line * int(width) + column
                # For unsigned indices numba omits the check for negatives.
                cell_tl = cells[np.uintp(cell)]
                cell_tr = cells[np.uintp(cell + right)]
                cell_bl = cells[np.uintp(cell + down)]
                cell_br = cells[np.uintp(cell + down + right)]
                for channel in range(len(result)):
                    result[channel] += (
                        share_tl * cell_tl[channel]
                        + share_tr * cell_tr[channel]
                        + share_bl * cell_bl[channel]
                        + share_br * cell_br[channel]
                    )
            level_start += int(height) * int(width)


def backward_loop(
    gradient,
    value,
    sizes,
    locations,
    weights,
    value_gradient,
    location_gradient,
    weight_gradient,
    image,
    head,
    level,
):
    """Compute all gradients of one head on one level.

    Heads and levels write to disjoint memory, so the order of all sums is
    independent of the number of threads.

    Args:
        gradient: ``(B, Q, H, D)`` gradient of the output.
        value: ``(B, H, S, D)``.
        sizes: ``(L, 2)`` height and width of the levels.
        locations: ``(B, Q, H, L, K, 2)`` x, y; a level covers ``[0, 1]``.
        weights: ``(B, Q, H, L, K)``.
        value_gradient: Like ``value``; is added to.
        location_gradient: Like ``locations``; is added to.
        weight_gradient: Like ``weights``; is added to.
        image: Number of the image.
        head: Number of the head.
        level: Number of the level.
    """
    one, half = sizes.dtype.type(1), sizes.dtype.type(0.5)
    cells, cell_gradients = value[image, head], value_gradient[image, head]
    height, width = sizes[level]
    down = int(width) if height > one else 0
    right = 1 if width > one else 0
    level_start = 0
    for before in range(level):
        level_start += int(sizes[before, 0]) * int(sizes[before, 1])
    for query in range(locations.shape[1]):
        row = gradient[image, query, head]
        for point in range(weights.shape[4]):
            location = locations[image, query, head, level, point]
            x = _position(location[0], width, half)
            y = _position(location[1], height, half)
            if not (-one < x < width and -one < y < height):
                continue
            column, offset, share_l, share_r = _two_cells(x, width, one)
            slope_l, slope_r = _slopes(offset, width, one)
            line, offset, share_t, share_b = _two_cells(y, height, one)
            slope_t, slope_b = _slopes(offset, height, one)
            cell = level_start + line * int(width) + column
            tl, tr = np.uintp(cell), np.uintp(cell + right)
            bl, br = np.uintp(cell + down), np.uintp(cell + down + right)
            cell_tl, cell_tr = cells[tl], cells[tr]
            cell_bl, cell_br = cells[bl], cells[br]
            dot_tl = dot_tr = dot_bl = dot_br = one - one
            for channel in range(len(row)):
                dot_tl += cell_tl[channel] * row[channel]
                dot_tr += cell_tr[channel] * row[channel]
                dot_bl += cell_bl[channel] * row[channel]
                dot_br += cell_br[channel] * row[channel]
            dot_t = share_l * dot_tl + share_r * dot_tr
            dot_b = share_l * dot_bl + share_r * dot_br
            slope_x = share_t * (slope_l * dot_tl + slope_r * dot_tr)
            slope_x += share_b * (slope_l * dot_bl + slope_r * dot_br)
            slope_y = slope_t * dot_t + slope_b * dot_b
            weight = weights[image, query, head, level, point]
            target = location_gradient[image, query, head, level, point]
            target[0] += weight * width * slope_x
            target[1] += weight * height * slope_y
            weight_gradient[image, query, head, level, point] += (
                share_t * dot_t + share_b * dot_b
            )
            share_t, share_b = share_t * weight, share_b * weight
            _add_scaled(cell_gradients[tl], share_t * share_l, row)
            _add_scaled(cell_gradients[tr], share_t * share_r, row)
            _add_scaled(cell_gradients[bl], share_b * share_l, row)
            _add_scaled(cell_gradients[br], share_b * share_r, row)


# Dimensions of the arrays of each loop, and the number of integers after them
_SIGNATURES = {
    forward_loop: ((4, 2, 4, 6, 5, 4), 4),
    backward_loop: ((4, 4, 2, 6, 5, 4, 6, 5), 3),
}


def compile_loop(
    loop: Callable[..., None], dtype: np.dtype, cache: bool = True
) -> Any:
    """Compile a loop for one dtype.

    Args:
        loop: :func:`forward_loop` or :func:`backward_loop`.
        dtype: float32 or float64.
        cache: Cache the machine code on disk, beside this file or, if that is
            read-only, in a folder of the user. May raise errors of any type.
    """
    dims, num_integers = _SIGNATURES[loop]
    real = numba.from_dtype(dtype)
    arrays = [types.Array(real, ndim, 'C') for ndim in dims]
    signature = types.void(*arrays, *[types.intp] * num_integers)
    return numba.njit(signature, nogil=True, fastmath=_FASTMATH, cache=cache)(
        loop
    )
