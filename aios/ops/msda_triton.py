# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Multi-scale deformable attention on GPUs, in Triton.

PyTorch for CUDA includes Triton. The value may be bfloat16 or float16, which
halves the memory traffic; sums are in float32.  With ``TRITON_INTERPRET=1``
the kernels run slowly on a CPU, for tests.

In torch this is one operator with a gradient, ``aios::msda_triton``, which
CUDA graphs can record. The gradient of the value is summed in any order, so
its last bits differ between runs.
"""

from __future__ import annotations

import os
from contextlib import nullcontext
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from aios.utils.optional import can_import

from .msda_operator import (
    constant_when_compiled,
    empty_output,
    make_operator,
)

_QUERIES_PER_PROGRAM = 16


@constant_when_compiled
def is_available(device: torch.device) -> bool:
    """Whether Triton can be imported and compiles for the device."""
    runs = device.type == 'cuda' or (
        device.type == 'cpu' and os.environ.get('TRITON_INTERPRET') == '1'
    )
    return runs and can_import('triton')


def _forward(
    value: Tensor, sizes: list[int], locations: Tensor, weights: Tensor
) -> Tensor:
    """Output ``(B, Q, H, D)``; ``sizes`` are height, width, height, ..."""
    output = empty_output(value, sizes, weights)
    _launch('forward_kernel', [], value, sizes, locations, weights, [output])
    return output


def _backward(
    gradient: Tensor,
    value: Tensor,
    sizes: list[int],
    locations: Tensor,
    weights: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of value, locations and weights."""
    sums = torch.promote_types(value.dtype, torch.float32)
    results = [
        torch.zeros(value.shape, dtype=sums, device=value.device),
        torch.empty(locations.shape, dtype=sums, device=value.device),
        torch.empty(weights.shape, dtype=sums, device=value.device),
    ]
    before = [gradient.contiguous()]
    _launch(
        'backward_kernel', before, value, sizes, locations, weights, results
    )
    return (
        results[0].to(value.dtype),
        results[1].to(locations.dtype),
        results[2].to(weights.dtype),
    )


def _launch(
    name: str,
    before: list[Tensor],
    value: Tensor,
    sizes: list[int],
    locations: Tensor,
    weights: Tensor,
    results: list[Tensor],
) -> None:
    """Run a kernel for all queries, heads and images."""
    import triton

    from . import msda_triton_kernels as kernels

    batch, num_cells, num_heads, depth = value.shape
    num_queries, num_levels, num_points = (
        weights.shape[1],
        *weights.shape[3:],
    )
    if weights.numel() == 0 or depth == 0:
        return
    on_device: Any = nullcontext()
    if value.device.type == 'cuda':
        on_device = torch.cuda.device(value.device)
    double = value.dtype == torch.float64
    grid = triton.cdiv(num_queries, _QUERIES_PER_PROGRAM), batch * num_heads
    with on_device:
        getattr(kernels, name)[grid](
            *before,
            value.contiguous(),
            _levels(tuple(sizes), value.device),
            locations.contiguous(),
            weights.contiguous(),
            *results,
            num_cells,
            num_queries,
            num_heads,
            DEPTH=depth,
            NUM_LEVELS=num_levels,
            NUM_POINTS=num_points,
            BLOCK_Q=_QUERIES_PER_PROGRAM,
            BLOCK_D=triton.next_power_of_2(depth),
            ACC=triton.language.float64 if double else triton.language.float32,
        )


@lru_cache(maxsize=128)
def _levels(sizes: tuple[int, ...], device: torch.device) -> Tensor:
    """Height, width and first cell of each level, cached on the device."""
    rows, first = [], 0
    for height, width in zip(sizes[::2], sizes[1::2], strict=True):
        rows.append((height, width, first))
        first += height * width
    return torch.tensor(rows, dtype=torch.int32, device=device)


def _new_value_gradient(value: Tensor) -> Tensor:
    return value.new_empty(value.shape)


triton_kernel = make_operator(
    'msda_triton', _forward, _backward, _new_value_gradient
)
"""The kernels, for values of any floating-point dtype."""
