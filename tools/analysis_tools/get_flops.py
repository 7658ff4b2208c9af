# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Count parameters and multiply-adds of a detector, by phase.

Counted are matrix products, convolutions and attention, as torch sees them;
sampling, norms and activations are not. One multiply-add is what MMEngine and
most papers call one FLOP.

Example:
    python tools/analysis_tools/get_flops.py configs/aios/aios_r50.py \
        --compare mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from aios.utils.command_line import (
    add_cfg_options,
    add_config_argument,
    add_shape_option,
    make_parser,
    read_config,
)
from aios.utils.profiling import (
    PHASES,
    PhaseMeter,
    build_detector,
    make_batch,
)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    add_config_argument(parser)
    parser.add_argument('--compare', help='a second config')
    add_shape_option(parser)
    add_cfg_options(parser)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = parse_args(argv)
    names, columns = [], []
    for name, options in (
        (args.config, args.cfg_options),
        (args.compare, None),
    ):
        if name is not None:
            model = build_detector(read_config(name, options))
            names.append(Path(name.split('::')[-1]).stem)
            columns.append(count(model, args.shape))
    print('\n'.join(markdown(names, columns)))


def count(model: nn.Module, shape: list[int]) -> dict[str, float]:
    """Parameters and multiply-adds of one picture, in total and by phase."""
    images, samples = make_batch(torch.randn(1, 3, *shape))
    counter = FlopCounterMode(display=False)
    meter = PhaseMeter(model, lambda: counter.get_total_flops() / 2)
    # Only this kernel is made of products that the counter knows everywhere.
    math_only = sdpa_kernel(SDPBackend.MATH)
    with torch.no_grad(), math_only, counter, meter.measure() as phases:
        model(images, samples, mode='predict')
    return {
        'parameters': sum(p.numel() for p in model.parameters()) / 1e6,
        'multiply-adds': counter.get_total_flops() / 2e9,
        **{phase: number / 1e9 for phase, number in phases.items()},
    }


def markdown(names: list[str], columns: list[dict[str, float]]) -> list[str]:
    """Lines of a table: millions of parameters, 10^9 multiply-adds."""
    lines = [f'| | {" | ".join(names)} |', f'|---|{"---:|" * len(names)}']
    for row in ('parameters', 'multiply-adds', *PHASES):
        unit = 'M' if row == 'parameters' else 'G'
        cells = [
            f'{column[row]:.2f} {unit}' if row in column else '–'
            for column in columns
        ]
        lines.append(f'| {row} | {" | ".join(cells)} |')
    return lines


if __name__ == '__main__':
    main()
