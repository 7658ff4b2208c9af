# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Multi-scale deformable attention on the CPU, as compiled loops.

numba compiles the loops (:mod:`aios.ops.msda_cpu_loops`) on first use, about a
second each, and caches them on disk. numba's own threading is not used: one of
its layers aborts the process after a fork, the other on concurrent calls.
Instead ``torch.get_num_threads()`` Python threads share the heads of the
images.

In torch this is one operator with a gradient, ``aios::msda_cpu``.

Legend: ``B`` images, ``S`` cells of all levels, ``Q`` queries, ``H`` heads,
``D`` channels of a head, ``L`` levels, ``K`` points a level.
"""

from __future__ import annotations

import itertools
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from aios.utils.optional import can_import

from .msda_operator import (
    call_operator,
    constant_when_compiled,
    empty_output,
    make_operator,
)

Task = Callable[[], Any]

# Several tasks per thread, for balance.
_TASKS_PER_THREAD = 4
# Samples (B x Q x H x L x K) that one thread computes in about a millisecond;
# for fewer, a further thread does not pay.
_MIN_SAMPLES = 2**15


@constant_when_compiled
def is_available(device: torch.device) -> bool:
    """Whether this is a CPU and numba can be imported."""
    return device.type == 'cpu' and can_import('numba')


def numba_offset_kernel(
    value: Tensor,
    spatial_shapes: Sequence[tuple[int, int]],
    references: Tensor,
    offsets: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """:data:`numba_kernel` for offsets, without gradients.

    Locations are not stored, but rounded in the same way.

    Args:
        value: ``(B, S, H, D)``, the levels one after another, row by row.
        spatial_shapes: ``(height, width)`` of each level.
        references: See :func:`aios.ops.sampling_locations`.
        offsets: See :func:`aios.ops.sampling_locations`.
        attention_weights: ``(B, Q, H, L, K)``.

    Returns:
        ``(B, Q, H * D)``.
    """
    samples = references, offsets, attention_weights
    return call_operator(_offset_operator, value, spatial_shapes, *samples)


def _forward(
    value: Tensor, sizes: list[int], locations: Tensor, weights: Tensor
) -> Tensor:
    """Output ``(B, Q, H, D)``; ``sizes`` are height, width, height, ..."""
    batch, num_queries, _, num_levels = locations.shape[:4]
    references = value.new_empty(batch, num_queries, num_levels, 0)
    return _run_forward(value, sizes, references, locations, weights)


def _run_forward(
    value: Tensor,
    sizes: list[int],
    references: Tensor,
    samples: Tensor,
    weights: Tensor,
) -> Tensor:
    """Distribute heads and queries to threads; output ``(B, Q, H, D)``.

    With empty references, ``(B, Q, L, 0)``, samples are locations, otherwise
    offsets.
    """
    batch, num_queries, num_heads = weights.shape[:3]
    output = empty_output(value, sizes, weights)
    run = partial(
        _compiled('forward_loop', value.dtype),
        *_arrays(value.transpose(1, 2), sizes, references, samples, weights),
        output.numpy(),
    )
    heads = list(itertools.product(range(batch), range(num_heads)))
    threads = _num_threads(weights)
    pieces = -(-threads * _TASKS_PER_THREAD // max(len(heads), 1))
    step = max(-(-num_queries // pieces), 1)
    starts = range(0, num_queries, step)
    _share(
        (
            partial(run, *head, start, min(start + step, num_queries))
            for start, head in itertools.product(starts, heads)
        ),
        threads,
    )
    return output


def _backward(
    gradient: Tensor,
    value: Tensor,
    sizes: list[int],
    locations: Tensor,
    weights: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of value, locations and weights."""
    batch, _, num_heads, _ = value.shape
    value_gradient = _new_value_gradient(value)
    results = (
        value_gradient.transpose(1, 2),
        torch.zeros_like(locations, memory_format=torch.contiguous_format),
        torch.zeros_like(weights, memory_format=torch.contiguous_format),
    )
    run = partial(
        _compiled('backward_loop', value.dtype),
        gradient.detach().contiguous().numpy(),
        *_arrays(value.transpose(1, 2), sizes, locations, weights),
        *(result.numpy() for result in results),
    )
    # Levels outermost, so that tasks running at the same time write to
    # different cache lines of the gradients of locations and weights.
    tasks = itertools.product(
        range(len(sizes) // 2), range(batch), range(num_heads)
    )
    _share(
        (partial(run, image, head, level) for level, image, head in tasks),
        _num_threads(weights),
    )
    return value_gradient, results[1], results[2]


def _new_value_gradient(value: Tensor) -> Tensor:
    """Zeros ``(B, S, H, D)`` with the memory layout ``(B, H, S, D)``."""
    batch, num_cells, num_heads, depth = value.shape
    zeros = value.new_zeros(batch, num_heads, num_cells, depth)
    return zeros.transpose(1, 2)


numba_kernel = make_operator(
    'msda_cpu', _forward, _backward, _new_value_gradient, device_types='cpu'
)
"""The loops, for float32 and float64.

Gradients are summed in a fixed order, independent of the number of threads.
"""

_offset_operator = torch.library.custom_op(
    'aios::msda_cpu_offsets',
    _run_forward,
    mutates_args=(),
    device_types='cpu',
    schema='(Tensor value, int[] sizes, Tensor references, Tensor offsets, '
    'Tensor weights) -> Tensor',
)
_offset_operator.register_fake(empty_output)


def _arrays(
    value: Tensor, sizes: list[int], *samples: Tensor
) -> list[np.ndarray]:
    """Contiguous arguments of the loops; ``value (B, H, S, D)``."""
    levels = torch.tensor(sizes, dtype=value.dtype).view(-1, 2)
    tensors = (value, levels, *samples)
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


def _num_threads(weights: Tensor) -> int:
    useful = 1 + weights.numel() // _MIN_SAMPLES
    return min(torch.get_num_threads(), useful)


@cache
def _compiled(loop: str, dtype: torch.dtype) -> Callable[..., None]:
    """Compiled loop, from the cache on disk if possible."""
    from . import msda_cpu_loops

    compile_loop = partial(
        msda_cpu_loops.compile_loop,
        getattr(msda_cpu_loops, loop),
        torch.empty(0, dtype=dtype).numpy().dtype,
    )
    try:
        return compile_loop()
    except Exception as error:  # no folder, full disk, damaged file, ...
        print_log(
            f'deformable attention: each process compiles {loop}, because '
            f'numba cannot cache its code ({error}); set NUMBA_CACHE_DIR to '
            'a writable folder',
            logger='current',
            level=logging.WARNING,
        )
        return compile_loop(cache=False)


@cache
def _helpers() -> ThreadPoolExecutor:
    """Worker threads, started on first use."""
    return ThreadPoolExecutor(os.cpu_count(), 'aios-msda')


if hasattr(os, 'register_at_fork'):
    # Threads do not survive a fork; the child process starts new ones.
    os.register_at_fork(after_in_child=_helpers.cache_clear)


def _drain(queue: deque[Task]) -> None:
    while True:
        try:
            task = queue.popleft()
        except IndexError:
            return
        task()


def _share(tasks: Iterable[Task], num_threads: int) -> None:
    """Run all tasks, in this thread and ``num_threads - 1`` others."""
    queue = deque(tasks)
    num_helpers = min(num_threads, len(queue)) - 1
    futures = [_helpers().submit(_drain, queue) for _ in range(num_helpers)]
    try:
        _drain(queue)
    finally:
        queue.clear()
        for future in futures:
            # Those still waiting for a thread have nothing to do.
            if not future.cancel():
                future.result()
