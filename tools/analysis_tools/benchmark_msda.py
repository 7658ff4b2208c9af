# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Measure the kernels of multi-scale deformable attention.

All kernels, and mmcv's ``multi_scale_deformable_attn_pytorch`` as ``mmcv
(torch)``, are measured alternately in one process. The size is that of one
encoder layer of a four-level DETR, in which every cell of the feature levels
is a query. CPU time is the sum over all threads and depends little on other
load; on a GPU only wall time is measured. Memory is the peak beyond the
inputs, measured in a separate call, because freeing memory takes time. Prints
a Markdown table of medians.

``--dtype`` applies to the value tensor; locations are always float32, because
bfloat16 would shift them by whole pixels.

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
from aios.utils.command_line import (
    add_json_option,
    errors_in_one_line,
    image_size,
    make_parser,
    markdown_table,
    number,
)
from aios.utils.json_record import write_record
from aios.utils.memory import peak_memory, start_memory

Shapes = Sequence[tuple[int, int]]
Kernel = Callable[[Tensor, Shapes, Tensor, Tensor], Tensor]
Clocks = dict[str, Callable[[], float]]
MMCV = 'mmcv (torch)'
DTYPES = ('float32', 'float16', 'bfloat16')
SPREAD = 3.0  # standard deviation of the offsets, cells of each level


class Case(NamedTuple):
    """A kernel, and the sizes and values of its levels."""

    kernel: Kernel
    shapes: Shapes
    inputs: list[Tensor]


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        '--size',
        type=image_size,
        default='1333x800',
        help='image size, WIDTHxHEIGHT (default: %(default)s)',
    )
    parser.add_argument('--batch', type=number(int, 1), default=1)
    parser.add_argument('--device', default='cpu')
    parser.add_argument(
        '--dtype',
        nargs='+',
        choices=DTYPES,
        default=[DTYPES[0]],
        help='dtypes of the value tensor',
    )
    parser.add_argument(
        '--kernels',
        nargs='+',
        help='kernels to measure (default: all that run on the device)',
    )
    parser.add_argument(
        '--threads', type=number(int, 1), default=torch.get_num_threads()
    )
    parser.add_argument('--repeats', type=number(int, 1), default=5)
    add_json_option(parser)
    args = parser.parse_args(argv)
    known = available_kernels(args.device)
    if unknown := sorted(set(args.kernels or ()) - set(known)):
        parser.error(
            f'--kernels: {", ".join(unknown)}: not available on '
            f'{args.device}; allowed: {", ".join(known)}'
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
    references = torch.cat([_cell_centers(*shape) for shape in shapes])
    samples = (batch, cells, 8, len(shapes), 4)
    offsets = torch.randn(*samples, 2, generator=generator) * SPREAD
    sizes = torch.tensor(shapes).flip(1)[:, None]
    weights = torch.randn(samples, generator=generator).flatten(3).softmax(-1)
    return [
        torch.randn(batch, cells, 8, 32, generator=generator),
        references[:, None, None, None] + offsets / sizes,
        weights.view(samples),
    ]


def _cell_centers(height: int, width: int) -> Tensor:
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
    """Output of the forward pass, without gradients."""
    with torch.no_grad():
        return case.kernel(case.inputs[0], case.shapes, *case.inputs[1:])


def both(case: Case) -> Tensor:
    """Output of the forward pass, after the backward pass."""
    leaves = [tensor.detach().requires_grad_() for tensor in case.inputs]
    output = case.kernel(leaves[0], case.shapes, *leaves[1:])
    torch.autograd.grad(output, leaves, torch.ones_like(output))
    return output.detach()


PASSES = {'forward': forward, 'both': both}


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


def measure_time(case: Case, clocks: Clocks) -> dict[str, float]:
    """Milliseconds of each pass by each clock."""
    times = {}
    for title, call in PASSES.items():
        start = {name: read() for name, read in clocks.items()}
        call(case)
        for name, read in clocks.items():
            times[f'{title} {name}'] = 1000 * (read() - start[name])
    return times


def measure_memory(case: Case, device: str) -> dict[str, float | None]:
    """Largest memory of each pass beyond the inputs, MiB."""
    memory = {}
    for title, call in PASSES.items():
        before = start_memory(device)
        call(case)
        memory[f'{title} MiB'] = peak_memory(device, before)
    return memory


def find_error(case: Case, exact: Tensor) -> float:
    """Largest difference of the output."""
    return (forward(case).double() - exact).abs().max().item()


def make_row(
    numbers: Mapping[str, float | None], base: Mapping[str, float | None]
) -> dict[str, str]:
    """Cells by title; of times also how many times the base's they are."""
    row = {}
    for title, value in numbers.items():
        if title == 'error':
            row[title] = f'{value:.0e}'
        elif value is None:
            row[title] = '–'
        elif title.endswith('MiB'):
            row[title] = f'{value:.0f}'
        else:
            digits = 0 if value >= 10 else 2
            ratio = (base[title] or 0) / value
            row[title] = f'{value:.{digits}f} ms ({ratio:.1f}×)'
    return row


def make_cases(
    args: argparse.Namespace, shapes: Shapes, inputs: list[Tensor]
) -> dict[str, Case]:
    """Cases by title."""
    names = args.kernels or available_kernels(args.device)
    cases = {}
    for dtype in args.dtype:
        value = inputs[0].to(getattr(torch, dtype))
        for name, kernel in find_kernels(names).items():
            title = f'{name}, {dtype}' if len(args.dtype) > 1 else name
            cases[title] = Case(kernel, shapes, [value, *inputs[1:]])
    return cases


@errors_in_one_line()
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = parse_args(argv)
    torch.set_num_threads(args.threads)
    shapes = level_sizes(args.size)
    inputs = [
        tensor.to(args.device) for tensor in make_inputs(shapes, args.batch)
    ]
    names = ['wall'] if args.device != 'cpu' else ['CPU', 'wall']
    clocks = {name: make_clock(name.lower(), args.device) for name in names}
    cases = make_cases(args, shapes, inputs)
    exact = multi_scale_deformable_attention(
        inputs[0].double(),
        shapes,
        *(tensor.double() for tensor in inputs[1:]),
        kernel='grid_sample',
    )
    broken = drop_broken(cases)
    times: dict[str, list[dict[str, float]]] = {title: [] for title in cases}
    for _ in range(args.repeats):
        for title, case in cases.items():
            times[title].append(measure_time(case, clocks))
    print(
        f'torch {torch.__version__}, {describe_device(args)}; {args.batch} x '
        f'{inputs[1].shape[1]} queries, levels {shapes}, '
        f'{" and ".join(args.dtype)}, median of {args.repeats}. Error: '
        'largest difference of the output from float64.\n'
    )
    results: dict[str, dict[str, float | None]] = {}
    for title, case in cases.items():
        results[title] = {
            name: statistics.median(turn[name] for turn in times[title])
            for name in times[title][0]
        }
        results[title] |= measure_memory(case, args.device)
        results[title]['error'] = find_error(case, exact)
    base = next(iter(results.values()))
    cells = [
        [title, *make_row(numbers, base).values()]
        for title, numbers in results.items()
    ]
    print(markdown_table([['kernel', *base], *cells]))
    for title, reason in broken.items():
        print(f'\n{title} fails: {reason}')
    if args.json:
        write_record(
            args.json,
            [{'kernel': name} | numbers for name, numbers in results.items()],
        )


def describe_device(args: argparse.Namespace) -> str:
    """Name of the device."""
    if torch.device(args.device).type == 'cuda':
        return torch.cuda.get_device_name(args.device)
    return f'{args.threads} threads, {platform.machine()}'


if __name__ == '__main__':
    main()
