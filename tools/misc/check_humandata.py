#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Check an annotation file before training with it.

Checks shapes, NaN, boxes, images, duplicate persons, the order of eyes and
joints, and poses some bodies to detect the hand convention. The exit status is
1 if there are faults, 2 if the file cannot be read.

Example:
    python tools/misc/check_humandata.py mine.npz --images data/mine/images
    python tools/misc/check_humandata.py mine.npz --fix fixed.npz
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from aios.datasets import HumanData, HumanDataError
from aios.datasets.checks import check_human_data
from aios.datasets.repair import fix, name_genders
from aios.utils.command_line import (
    add_body_models_option,
    add_overwrite_option,
    escape_unprintable,
    make_parser,
    number,
    printable,
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        'file', type=Path, help='annotation file, .npz or .pkl'
    )
    parser.add_argument(
        '--images',
        type=Path,
        metavar='DIR',
        help='root folder of image_path; also check the images',
    )
    add_body_models_option(parser)
    parser.add_argument(
        '--samples',
        type=number(int, 0),
        default=256,
        help='number of bodies to pose (default: %(default)s)',
    )
    parser.add_argument(
        '--fix',
        type=Path,
        metavar='NEW.npz',
        help='write a repaired copy: removes broken rows, duplicates and '
        'rows of missing images; corrects the hand convention and the '
        'order of the eyes; writes genders by name; adds image sizes '
        '(with --images) and, if absent, hand and face boxes from SMPL-X',
    )
    add_overwrite_option(parser, 'an existing copy')
    return parser.parse_args(argv)


def _load(path: Path, repair: bool) -> tuple[HumanData, list[str]]:
    """Load the file, and list repairs that were needed to load it."""
    try:
        return HumanData.load(path), []
    except HumanDataError as error:
        rules = {fault.rule for fault in error.faults}
        if not repair or rules != {'unknown_gender'}:
            raise
    data = HumanData.load(path, check=False)
    count = name_genders(data)
    if faults := data.faults():
        raise HumanDataError(faults, path)
    return data, [f'genders of {count} rows by their names']


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    args = parse_args(argv)
    escape_unprintable()
    if args.fix and args.fix.exists() and not args.overwrite:
        print(f'error: {args.fix} exists; add --overwrite to replace it')
        return 2
    try:
        data, done = _load(args.file, repair=bool(args.fix))
        report = check_human_data(
            data, args.images, args.body_models, args.samples
        )
        print(printable(str(report)))
        if args.fix:
            fixed, repairs = fix(data, report, args.images, args.body_models)
            done += repairs
            fixed.dump(args.fix, overwrite=args.overwrite)
            for line in done or ['nothing to repair']:
                print(f'fixed: {line}')
            print(f'{args.fix}: {len(fixed):,} of {len(data):,} persons')
    except (OSError, ValueError) as error:  # also of body models
        print(f'error: {printable(str(error))}')
        return 2
    return 1 if report.errors else 0


if __name__ == '__main__':
    sys.exit(main())
