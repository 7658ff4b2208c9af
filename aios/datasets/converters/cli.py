# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The command line of the converters."""

from __future__ import annotations

import argparse
import inspect
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from aios.utils.command_line import (
    add_overwrite_option,
    errors_in_one_line,
    make_parser,
    number,
)

from .base import CONVERTERS, Converter, convert


def run_command(
    argv: Sequence[str] | None = None, description: str | None = None
) -> str:
    """Parse the command line and convert.

    Args:
        argv: Command line, default that of the process; it begins with the
            name of the dataset.
        description: Text of ``--help``.

    Returns:
        The summary, for printing.

    Raises:
        SystemExit: If the release, the body models or the output are
            invalid; with the reason.
    """
    args = _parser(description).parse_args(argv)
    kind = args.kind
    data = Path(os.environ.get('AIOS_DATA') or 'data')
    out = args.out or (
        data
        / 'preprocessed_npz/multihuman_data'
        / f'{kind.NAME}_{args.split}.npz'
    )
    names = set(inspect.signature(kind).parameters) & set(vars(args))
    try:
        with errors_in_one_line():
            converter = kind(**{name: getattr(args, name) for name in names})
            summary = convert(
                converter,
                out,
                overwrite=args.overwrite,
                restart=args.restart,
                workers=args.workers,
                limit=args.limit,
            )
    except KeyboardInterrupt:
        sys.exit('interrupted; run the same command again to continue')
    check = shlex.join(['python', 'tools/misc/check_humandata.py', str(out)])
    return f'{summary}\ncheck it: {check}'


def _parser(description: str | None) -> argparse.ArgumentParser:
    parser = make_parser(description)
    names = parser.add_subparsers(metavar='NAME', required=True)
    for _, kind in sorted(CONVERTERS.items()):
        summary = (kind.__doc__ or '').partition('\n')[0]
        _add_options(
            names.add_parser(kind.NAME, help=summary, description=summary),
            kind,
        )
    return parser


def _add_options(
    parser: argparse.ArgumentParser, kind: type[Converter]
) -> None:
    parser.set_defaults(kind=kind)
    parser.add_argument('root', type=Path, help='root folder of the release')
    parser.add_argument('--split', choices=kind.SPLITS, default=kind.SPLITS[0])
    parser.add_argument(
        '--out',
        type=Path,
        metavar='FILE.npz',
        help='output file (default: '
        f'<data>/preprocessed_npz/multihuman_data/{kind.NAME}_<split>.npz, '
        'where <data> is $AIOS_DATA or data)',
    )
    parser.add_argument(
        '--body-models',
        metavar='PATH',
        help='folder of the SMPL-X files (default: $AIOS_BODY_MODELS or '
        'data/body_models)',
    )
    parser.add_argument(
        '--interval',
        type=number(int, 1),
        default=1,
        help='use every n-th image (default: all)',
    )
    parser.add_argument(
        '--limit',
        type=number(int, 1),
        metavar='UNITS',
        help='convert only the first units (scenes, sequences, label files)',
    )
    parser.add_argument(
        '--workers',
        type=number(int, 1),
        default=1,
        help='number of processes (default: 1)',
    )
    add_overwrite_option(parser, 'an existing file')
    parser.add_argument(
        '--restart',
        action='store_true',
        help='start from scratch instead of resuming',
    )
    kind.add_arguments(parser)
