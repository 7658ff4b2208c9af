# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Time the kernels of multi-scale deformable attention.

All kernels, and mmcv's ``multi_scale_deformable_attn_pytorch`` as ``mmcv
(torch)``, take turns in one process. The size is that of one encoder layer of
a four-level DETR, in which every cell of the feature levels is a query. CPU
time counts all threads and depends little on what else the machine does; wall
time is what one waits. Prints a table in Markdown with the median of each.

Example:
    python tools/analysis_tools/benchmark_msda.py --threads 2
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from aios.ops import available_kernels, multi_scale_deformable_attention
from aios.utils import mmcv_ext
from aios.utils.command_line import make_parser

Shapes = Sequence[tuple[int, int]]
Kernel = Callable[[Tensor, Shapes, Tensor, Tensor], Tensor]
MMCV = 'mmcv (torch)'
FIELDS = ('forward CPU', 'forward wall', 'both CPU', 'both wall')


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument('--size', default='1333x800', help='WIDTHxHEIGHT')
    parser.add_argument('--batch', type=int, default=1)
    parser.add_argument(
        '--queries', type=int, help='that many at random, not one a cell'
    )
    parser.add_argument(
        '--spread',
        type=float,
        default=3.0,
        help='standard deviation of the offsets, in cells of each level',
    )
    parser.add_argument('--kernels', nargs='+', help='default: all')
    parser.add_argument('--threads', type=int, default=torch.get_num_threads())
    parser.add_argument('--repeats', type=int, default=5)
    return parser.parse_args()


def level_sizes(size: str) -> list[tuple[int, int]]:
    """Height and width of the levels with stride 8, 16, 32 and 64."""
    width, height = map(int, size.split('x'))
    return [(-(-height // s), -(-width // s)) for s in (8, 16, 32, 64)]


def make_inputs(
    shapes: Shapes, batch: int, queries: int | None, spread: float
) -> list[Tensor]:
    """Value, locations and weights of 8 heads, 32 channels, 4 points."""
    generator = torch.Generator().manual_seed(0)
    cells = sum(height * width for height, width in shapes)
    if queries is None:
        queries = cells
        centres = [_cell_centres(*shape) for shape in shapes]
        references = torch.cat(centres)
    else:
        references = torch.rand(queries, 2, generator=generator)
    samples = (batch, queries, 8, len(shapes), 4)
    offsets = torch.randn(*samples, 2, generator=generator) * spread
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


def all_kernels() -> dict[str, Kernel]:
    """The kernels that run on a CPU, and mmcv's."""
    mmcv_ext.install()
    from mmcv.ops.multi_scale_deform_attn import (
        multi_scale_deformable_attn_pytorch,
    )

    def mmcv(value: Tensor, shapes: Shapes, *samples: Tensor) -> Tensor:
        sizes = torch.tensor(shapes)
        return multi_scale_deformable_attn_pytorch(value, sizes, *samples)

    ours = {
        name: partial(multi_scale_deformable_attention, kernel=name)
        for name in available_kernels('cpu')
    }
    return {MMCV: mmcv, **ours}


def measure(
    kernel: Kernel, shapes: Shapes, inputs: list[Tensor]
) -> tuple[list[float], list[Tensor]]:
    """Milliseconds of the :data:`FIELDS`; output and gradients."""
    with torch.no_grad():
        start = time.process_time(), time.perf_counter()
        kernel(inputs[0], shapes, *inputs[1:])
        end = time.process_time(), time.perf_counter()
    times = [end[i] - start[i] for i in range(2)]
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    start = time.process_time(), time.perf_counter()
    output = kernel(leaves[0], shapes, *leaves[1:])
    gradients = torch.autograd.grad(output, leaves, torch.ones_like(output))
    end = time.process_time(), time.perf_counter()
    times += [end[i] - start[i] for i in range(2)]
    return [1000 * t for t in times], [output.detach(), *gradients]


def print_table(
    times: dict[str, list[list[float]]], errors: dict[str, float]
) -> None:
    """Print medians, and how many times the first kernel's they are."""
    print('| kernel |', ' | '.join(FIELDS), '| error |')
    print('|---' * (len(FIELDS) + 2) + '|')
    medians = {
        name: [statistics.median(column) for column in zip(*rows, strict=True)]
        for name, rows in times.items()
    }
    first = next(iter(medians.values()))
    for name, row in medians.items():
        cells = [
            f'{ours:.0f} ms ({base / ours:.1f}×)'
            for ours, base in zip(row, first, strict=True)
        ]
        print(f'| {name} |', ' | '.join(cells), f'| {errors[name]:.0e} |')


def main() -> None:
    """Entry point."""
    args = parse_args()
    torch.set_num_threads(args.threads)
    shapes = level_sizes(args.size)
    inputs = make_inputs(shapes, args.batch, args.queries, args.spread)
    kernels = all_kernels()
    names = list(dict.fromkeys([MMCV, *(args.kernels or kernels)]))
    exact = multi_scale_deformable_attention(
        inputs[0].double(),
        shapes,
        *(tensor.double() for tensor in inputs[1:]),
        kernel='grid_sample',
    )
    times: dict[str, list[list[float]]] = {name: [] for name in names}
    errors = {}
    for turn in range(args.repeats + 1):
        for name in names:
            row, results = measure(kernels[name], shapes, inputs)
            if turn > 0:  # the first one compiles
                times[name].append(row)
            errors[name] = (results[0] - exact).abs().max().item()
    print(
        f'torch {torch.__version__}, {args.threads} threads, '
        f'{platform.machine()}; {args.batch} x {inputs[1].shape[1]} queries, '
        f'levels {shapes}, median of {args.repeats}. Error: largest '
        'difference of the output to float64.\n'
    )
    print_table(times, errors)


if __name__ == '__main__':
    main()
