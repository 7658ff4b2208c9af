#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Check a submission against the server's rules before uploading it.

Checks the locations, names and numbers of the files, their keys, types and
shapes, and whether NumPy 1 can read them. No code in the files is executed.
The exit status is 1 if there are faults, 2 if there is no submission.

Example:
    python tools/misc/check_submission.py work_dirs/agora/predictions.zip
    python tools/misc/check_submission.py predictions.zip --benchmark bedlam
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from aios.evaluation.agora.layout import BENCHMARKS
from aios.evaluation.agora.reader import Submission, iter_faults
from aios.utils.command_line import make_parser, number, printable
from aios.utils.safe_io import CorruptFileError


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        'submission',
        metavar='ZIP_OR_DIR',
        type=Path,
        help='predictions.zip, or the folder of its files',
    )
    parser.add_argument(
        '--benchmark',
        choices=list(BENCHMARKS),
        default='agora',
        help='benchmark whose rules apply (default: %(default)s)',
    )
    parser.add_argument(
        '--max-faults',
        type=number(int, 0),
        default=20,
        metavar='N',
        help='maximum number of faults to print (default: %(default)s)',
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Check; returns 1 if there is a fault."""
    args = parse_args(argv)
    try:
        submission = Submission(args.submission)
    except (OSError, CorruptFileError) as error:
        print(f'error: {printable(str(error))}', file=sys.stderr)
        return 2
    members = tqdm(
        iter_faults(submission, args.benchmark),
        total=len(submission.members),
        desc='files',
        disable=None,
    )
    faults = [f'{name}: {fault}' for name, fault in members if fault]
    for fault in faults[: args.max_faults]:
        print(printable(fault))
    if len(faults) > args.max_faults:
        print(f'... and {len(faults) - args.max_faults} more')
    images = {name.rpartition('_personId_')[0] for name in submission.names}
    print(
        f'{len(submission.names)} persons of {len(images)} images, '
        f'{len(faults) or "no"} fault{"" if len(faults) == 1 else "s"}'
    )
    return 1 if faults else 0


if __name__ == '__main__':
    sys.exit(main())
