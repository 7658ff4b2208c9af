# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Count parameters and multiply-adds of a detector, by phase.

Counts matrix products, convolutions and attention with torch's counter, but
not sampling, norms and activations. One multiply-add is what MMEngine and most
papers call one FLOP. If a config needs a package that is not installed, its
row names the package.

Example:
    python tools/analysis_tools/get_flops.py configs/aios/aios_r50.py \
        --compare mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py
    python tools/analysis_tools/get_flops.py configs/aios/aios_r18.py \
        --compare configs/aios/aios_r50.py configs/aios/aios_swin-t.py
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from aios.engine.profiling import (
    PHASES,
    PhaseMeter,
    build_detector,
    make_batch,
)
from aios.utils.command_line import (
    add_cfg_options,
    add_config_argument,
    add_shape_option,
    config_title,
    errors_in_one_line,
    make_parser,
    markdown_table,
    options_by_config,
    read_config,
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    add_config_argument(parser)
    parser.add_argument(
        '--compare',
        nargs='+',
        default=[],
        metavar='CONFIG',
        help='more configs; --cfg-options apply to all configs in the same '
        'package. More than two are printed one per row',
    )
    add_shape_option(parser)
    add_cfg_options(parser)
    return parser.parse_args(argv)


@errors_in_one_line()
def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = parse_args(argv)
    names = [args.config, *args.compare]
    columns: list[dict[str, float] | str] = []
    for name, options in zip(
        names, options_by_config(names, args.cfg_options), strict=True
    ):
        try:
            config = read_config(name, options)
        except ValueError as error:
            if not isinstance(error.__cause__, ImportError):
                raise
            columns.append(f'needs {missing_package(error.__cause__)}')
        else:
            columns.append(count(build_detector(config), args.shape))
    print(table([config_title(name) for name in names], columns))


def missing_package(error: ImportError) -> str:
    """Name of the package behind a failed import.

    Raises:
        ImportError: A package is there, but does not work.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ModuleNotFoundError) and cause.name:
            return cause.name.partition('.')[0]
        # MMEngine raises other errors from it
        cause = cause.__cause__ or cause.__context__
    raise error


def count(model: nn.Module, shape: list[int]) -> dict[str, float]:
    """Parameters and multiply-adds of one image, in total and by phase."""
    images, samples = make_batch(torch.randn(1, 3, *shape))
    counter = FlopCounterMode(display=False)
    meter = PhaseMeter(model, lambda: counter.get_total_flops() / 2)
    # Only this kernel consists of operators that the counter supports.
    math_only = sdpa_kernel(SDPBackend.MATH)
    with torch.no_grad(), math_only, counter, meter.measure() as phases:
        model(images, samples, mode='predict')
    return {
        'parameters': sum(p.numel() for p in model.parameters()) / 1e6,
        'multiply-adds': counter.get_total_flops() / 2e9,
        **{phase: number / 1e9 for phase, number in phases.items()},
    }


def table(
    names: Sequence[str], columns: Sequence[dict[str, float] | str]
) -> str:
    """Millions of parameters, 10^9 multiply-adds.

    Args:
        names: Of the configs.
        columns: What was counted for each, or why nothing was.

    Returns:
        A column per config, or a row if there are more than two.
    """
    titles = ['parameters', 'multiply-adds', *PHASES]
    rows = [['', *titles]]
    for name, column in zip(names, columns, strict=True):
        if isinstance(column, str):
            cells = [column] + ['–'] * (len(titles) - 1)
        else:
            cells = [show(column, title) for title in titles]
        rows.append([name, *cells])
    if len(names) <= 2:
        rows = [list(row) for row in zip(*rows, strict=True)]
    return markdown_table(rows)


def show(numbers: dict[str, float], title: str) -> str:
    """A cell of the table."""
    if title not in numbers:
        return '–'
    unit = 'M' if title == 'parameters' else 'G'
    return f'{numbers[title]:.2f} {unit}'


if __name__ == '__main__':
    main()
