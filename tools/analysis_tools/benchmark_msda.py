# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Measure the kernels of multi-scale deformable attention.

All kernels, and mmcv's ``multi_scale_deformable_attn_pytorch`` as ``mmcv
(torch)``, take turns in one process. The size is that of one encoder layer of
a four-level DETR, in which every cell of the feature levels is a query. CPU
time counts all threads and depends little on what else the machine does; wall
time is what one waits, and all there is on a GPU. Memory is the largest beyond
the inputs, of a call of its own: giving memory back, so that it is counted,
takes time. Prints a table in Markdown with the median of each.

The value may be of another ``--dtype``; locations are float32 always, as
bfloat16 is off by whole pixels.

Example:
    python tools/analysis_tools/benchmark_msda.py --threads 2
    python tools/analysis_tools/benchmark_msda.py --device cuda \
        --kernels mmcv triton grid_sample --dtype float32 float16 bfloat16
"""

from __future__ import annotations

import argparse
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from aios.engine.profiling import make_clock
from aios.ops import available_kernels, multi_scale_deformable_attention
from aios.utils import mmcv_ext
from aios.utils.command_line import image_size, make_parser, markdown_table
from aios.utils.memory import peak_memory, start_memory

Shapes = Sequence[tuple[int, int]]
Kernel = Callable[[Tensor, Shapes, Tensor, Tensor], Tensor]
MMCV = 'mmcv (torch)'
DTYPES = ('float32', 'float16', 'bfloat16')
SPREAD = 3.0  # standard deviation of the offsets, cells of each level


class Case(NamedTuple):
    """What is measured: a kernel, and the size and value of its levels."""

    kernel: Kernel
    shapes: Shapes
    inputs: list[Tensor]


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        '--size', type=image_size, default='1333x800', help='WIDTHxHEIGHT'
    )
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument('--device', default='cpu')
    parser.add_argument(
        '--dtype',
        nargs='+',
        choices=DTYPES,
        default=[DTYPES[0]],
        help='of the value, one or several',
    )
    parser.add_argument(
        '--kernels', nargs='+', help='default: all that run on the device'
    )
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--repeats', type=int, default=5)
    args = parser.parse_args(argv)
    known = available_kernels(args.device)
    if unknown := sorted(set(args.kernels or ()) - set(known)):
        parser.error(
            f'--kernels: {", ".join(unknown)}: on {args.device} there are '
            f'only {", ".join(known)}'
        )
    return args


def level_sizes(size: tuple[int, int]) -> list[tuple[int, int]]:
    """Height and width of the levels with stride 8, 16, 32 and 64."""
    width, height = size
    return [(-(-height // s), -(-width // s)) for s in (8, 16, 32, 64)]


def make_inputs(shapes: Shapes, batch: int) -> list[Tensor]:
    """Value, locations and weights of 8 heads, 32 channels, 4 points.

    A query per cell, as in the encoder, looks around the cell.
    """
    generator = torch.Generator().manual_seed(0)
    cells = sum(height * width for height, width in shapes)
    references = torch.cat([_cell_centres(*shape) for shape in shapes])
    samples = (batch, cells, 8, len(shapes), 4)
    offsets = torch.randn(*samples, 2, generator=generator) * SPREAD
    sizes = torch.tensor(shapes).flip(1)[:, None]
    weights = torch.randn(samples, generator=generator).flatten(3).softmax(-1)
    return [
        torch.randn(batch, cells, 8, 32, generator=generator),
        references[:, None, None, None] + offsets / sizes,
        weights.view(samples),
    ]


def _cell_centres(height: int, width: int) -> Tensor:
    y = (torch.arange(height) + 0.5) / height
    x = (torch.arange(width) + 0.5) / width
    return torch.cartesian_prod(y, x).flip(1)


def find_kernels(names: Sequence[str]) -> dict[str, Kernel]:
    """Kernels by name, after mmcv's in plain torch."""
    mmcv_ext.install()
    from mmcv.ops.multi_scale_deform_attn import (
        multi_scale_deformable_attn_pytorch,
    )

    def mmcv(value: Tensor, shapes: Shapes, *samples: Tensor) -> Tensor:
        sizes = torch.tensor(shapes)
        # Like ours, of one dtype inside.
        output = multi_scale_deformable_attn_pytorch(
            value.float(), sizes, *samples
        )
        return output.to(value.dtype)

    ours = {
        name: partial(multi_scale_deformable_attention, kernel=name)
        for name in names
    }
    return {MMCV: mmcv, **ours}


def forward(case: Case) -> Tensor:
    """Output; no gradient is wanted."""
    with torch.no_grad():
        return case.kernel(case.inputs[0], case.shapes, *case.inputs[1:])


def both(case: Case) -> Tensor:
    """Output, after the backward pass."""
    leaves = [tensor.detach().requires_grad_() for tensor in case.inputs]
    output = case.kernel(leaves[0], case.shapes, *leaves[1:])
    torch.autograd.grad(output, leaves, torch.ones_like(output))
    return output.detach()


PASSES = {'forward': forward, 'both': both}


def measure(case: Case, device: str) -> dict[str, float]:
    """Milliseconds of each pass by each clock."""
    names = ['CPU', 'wall'] if device == 'cpu' else ['wall']
    times = {}
    for title, call in PASSES.items():
        clocks = [make_clock(name.lower(), device) for name in names]
        starts = [read() for read in clocks]
        call(case)
        for name, read, start in zip(names, clocks, starts, strict=True):
            times[f'{title} {name}'] = 1000 * (read() - start)
    return times


def drop_broken(cases: dict[str, Case]) -> dict[str, str]:
    """Run and compile all; those that fail are removed and explained.

    One that does not compile for a device must not hide the others.
    """
    broken = {}
    for title, case in list(cases.items()):
        try:
            for call in PASSES.values():
                call(case)
        except Exception as error:
            del cases[title]
            broken[title] = f'{type(error).__name__}: {error}'
    if not cases:
        raise RuntimeError(f'all kernels fail: {broken}')
    return broken


def make_row(
    case: Case,
    times: Mapping[str, float],
    base: Mapping[str, float],
    exact: Tensor,
    device: str,
) -> dict[str, str]:
    """Cells by title; of times also how many times the base's they are."""
    row = {
        title: f'{ms:.{0 if ms >= 10 else 2}f} ms ({base[title] / ms:.1f}×)'
        for title, ms in times.items()
    }
    for title, call in PASSES.items():
        before = start_memory(device)
        call(case)
        peak = peak_memory(device, before)
        row[f'{title} MiB'] = '–' if peak is None else f'{peak:.0f}'
    row['error'] = f'{(forward(case).double() - exact).abs().max():.0e}'
    return row


def make_cases(
    args: argparse.Namespace, shapes: Shapes, inputs: list[Tensor]
) -> dict[str, Case]:
    """What takes turns, by title."""
    names = args.kernels or available_kernels(args.device)
    cases = {}
    for dtype in args.dtype:
        value = inputs[0].to(getattr(torch, dtype))
        for name, kernel in find_kernels(names).items():
            title = f'{name}, {dtype}' if len(args.dtype) > 1 else name
            cases[title] = Case(kernel, shapes, [value, *inputs[1:]])
    return cases


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point."""
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    shapes = level_sizes(args.size)
    inputs = [x.to(args.device) for x in make_inputs(shapes, args.batch)]
    cases = make_cases(args, shapes, inputs)
    exact = multi_scale_deformable_attention(
        inputs[0].double(),
        shapes,
        *(tensor.double() for tensor in inputs[1:]),
        kernel='grid_sample',
    )
    broken = drop_broken(cases)
    turns = [
        {title: measure(case, args.device) for title, case in cases.items()}
        for _ in range(args.repeats)
    ]
    print(
        f'torch {torch.__version__}, {describe_device(args)}; {args.batch} x '
        f'{inputs[1].shape[1]} queries, levels {shapes}, '
        f'{" and ".join(args.dtype)}, median of {args.repeats}. Error: '
        'largest difference of the output to float64.\n'
    )
    times = {
        title: {
            name: statistics.median(turn[title][name] for turn in turns)
            for name in turns[0][title]
        }
        for title in cases
    }
    base = next(iter(times.values()))
    rows = {
        title: make_row(case, times[title], base, exact, args.device)
        for title, case in cases.items()
    }
    head = ['kernel', *next(iter(rows.values()))]
    cells = [[title, *row.values()] for title, row in rows.items()]
    print(markdown_table([head, *cells]))
    for title, reason in broken.items():
        print(f'\n{title} fails: {reason}')


def describe_device(args: argparse.Namespace) -> str:
    """Where it ran."""
    if torch.device(args.device).type == 'cuda':
        return torch.cuda.get_device_name(args.device)
    return f'{args.threads} threads, {platform.machine()}'


if __name__ == '__main__':
    main()
