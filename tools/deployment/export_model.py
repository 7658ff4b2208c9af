#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Export the network of a detector to ONNX or with torch.export.

The suffix of OUT selects the format: .onnx or .pt2. The file takes images of
one size and contains the network up to the predictions of the last decoder
layer; selecting and posing persons is not included (docs/en/deployment.md).
Nothing is written unless the results agree with those of PyTorch.

Examples:
    python tools/deployment/export_model.py aios_r50 CHECKPOINT aios.onnx
    python tools/deployment/export_model.py CONFIG CHECKPOINT small.onnx \
        --shape 480 800
    python tools/deployment/export_model.py aios_r50 CHECKPOINT aios.pt2
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from aios.apis.model_files import build_model, read_model_config
from aios.apis.onnx_export import export_model
from aios.deploy import (
    DeployableNetwork,
    export_program,
)
from aios.registry import register_all_modules
from aios.utils.command_line import (
    add_cfg_options,
    add_overwrite_option,
    add_shape_option,
    errors_in_one_line,
    make_parser,
    set_options,
)

SUFFIXES = ('.onnx', '.pt2')


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        'config', help='config file, or a model name (aios_r50)'
    )
    parser.add_argument('checkpoint', help='checkpoint')
    parser.add_argument('out', type=Path, help='output file')
    add_shape_option(parser)
    parser.add_argument(
        '--opset',
        type=int,
        default=18,
        help='ONNX opset version (default: %(default)s)',
    )
    parser.add_argument(
        '--tolerance',
        type=float,
        default=1e-3,
        help='maximum difference from PyTorch (default: %(default)s)',
    )
    add_overwrite_option(parser, 'OUT if it exists')
    add_cfg_options(parser)
    return parser


def export(args: argparse.Namespace) -> dict[str, float]:
    """Write the file; returns the largest differences by output."""
    size = (args.shape[0], args.shape[1])
    common = dict(tolerance=args.tolerance, overwrite=args.overwrite)
    if args.out.suffix == '.onnx':
        return export_model(
            args.out,
            args.config,
            args.checkpoint,
            size,
            cfg_options=args.cfg_options,
            opset=args.opset,
            **common,
        )
    config = read_model_config(args.config, args.checkpoint)
    set_options(config, args.cfg_options)
    network = DeployableNetwork(build_model(config, args.checkpoint))
    return export_program(network, args.out, size, **common)


@errors_in_one_line()
def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    parser = build_parser()
    args = parser.parse_args(argv)
    if args.out.suffix not in SUFFIXES:
        parser.error(f'OUT must end with {" or ".join(SUFFIXES)}')
    if min(args.shape) < 32:
        parser.error('--shape: height and width must be at least 32 pixels')
    register_all_modules()
    start = time.monotonic()
    differences = export(args)
    worst = max(differences, key=lambda name: differences[name])
    print(
        f'{args.out}: {args.out.stat().st_size / 2**20:.1f} MiB, '
        f'{time.monotonic() - start:.0f} s; largest difference from PyTorch '
        f'{differences[worst]:.1e} ({worst})'
    )


if __name__ == '__main__':
    main()
