# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Command line of the package: ``python -m aios``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from .version import __version__

__all__ = ['main']


def _doctor(args: argparse.Namespace) -> int:
    from .doctor import diagnose, exit_code, format_findings

    findings = diagnose()
    print(format_findings(findings, as_json=args.json))
    return exit_code(findings)


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
        help='say what works here, what is missing, and what to do',
        description='Exit status: 0 if the package can work, 1 if not.',
    )
    doctor.add_argument(
        '--json', action='store_true', help='print a list of JSON objects'
    )
    doctor.set_defaults(run=_doctor)
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
