# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Command line of the package: ``python -m aios``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .utils.command_line import errors_in_one_line, number
from .version import __version__

# Smallest and largest side of the images of an exported file.
_SIDES = 32, 1 << 14


@errors_in_one_line()
def _doctor(args: argparse.Namespace) -> int:
    from .doctor import diagnose, exit_code, format_findings

    findings = diagnose()
    print(format_findings(findings, as_json=args.json))
    return exit_code(findings)


@errors_in_one_line()
def _export(args: argparse.Namespace) -> int:
    from .apis.shipped import missing_exporters, onnx_path
    from .utils.cache import make_cache_folder
    from .utils.shipped import SHIPPED_MODEL

    if missing := missing_exporters():
        raise ValueError(f'{SHIPPED_MODEL}: {missing}')
    from .apis.onnx_export import export_model
    from .apis.onnx_int8 import export_int8

    path = args.out or onnx_path('-int8' if args.int8 else '')
    if not args.out:
        make_cache_folder(path.parent)
    options = dict(size=args.shape, overwrite=args.overwrite)
    if args.int8:
        print(f'{path}: {export_int8(path, **options)}')
    else:
        found = export_model(path, **options)
        print(f'{path}: differs from PyTorch by {max(found.values()):.1e}')
    return 0


def _infer(args: argparse.Namespace) -> int:
    from .apis.cli import run_demo

    run_demo(
        'Detect persons in images or a video; see docs/en/runtime.md.',
        args.arguments,
        prog='python -m aios infer',
        out_dir='outputs/infer',
        runtime='onnx',
    )
    return 0


def _parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog='python -m aios', description=__doc__
    )
    parser.add_argument('--version', action='version', version=__version__)
    commands = parser.add_subparsers(
        title='commands', required=True, metavar='COMMAND'
    )
    doctor = commands.add_parser(
        'doctor',
        help='check the environment and advise on problems',
        description='The exit status is 0 if the package works, 1 if not.',
    )
    doctor.add_argument(
        '--json', action='store_true', help='print a list of JSON objects'
    )
    doctor.set_defaults(run=_doctor)
    export = commands.add_parser(
        'export',
        help='export the included model to ONNX',
        description='Results are verified against PyTorch. For other models '
        'use tools/deployment/export_model.py.',
    )
    export.add_argument(
        'out',
        nargs='?',
        help="output file (default: the file in the user's cache that "
        '--runtime onnx uses)',
    )
    export.add_argument(
        '--shape',
        type=number(int, *_SIDES),
        nargs=2,
        metavar=('H', 'W'),
        help='fixed image size, with a batch size of 1 (default: dynamic)',
    )
    export.add_argument(
        '--int8',
        action='store_true',
        help='quantize the backbone to 8-bit integers: faster, with slightly '
        'different results (docs/en/runtime.md)',
    )
    export.add_argument(
        '--overwrite', action='store_true', help='replace OUT if it exists'
    )
    export.set_defaults(run=_export)
    commands.add_parser(
        'infer', help='detect persons in images or a video, without PyTorch'
    )
    argv = sys.argv[1:] if argv is None else argv
    if 'infer' in argv[:1]:  # has a parser of its own
        return argparse.Namespace(run=_infer, arguments=argv[1:])
    if not argv:
        parser.print_help(sys.stderr)
        parser.exit(2)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments, ``sys.argv[1:]`` by default.

    Returns:
        Exit status.
    """
    args = _parse_args(argv)
    return args.run(args)


if __name__ == '__main__':
    sys.exit(main())
