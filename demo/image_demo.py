#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Find the people of pictures, and write what they look like.

In the output folder:

    params.npz                  people of all pictures, see
                                aios.export.PeopleSequence
    params/NAME.npz             those of picture NAME
    vis/NAME.jpg                the picture with boxes, skeletons and bodies
    mesh/NAME_person0.obj       a mesh per person, best score first, in metres
                                and camera axes (x right, y down, z forward)

Examples:
    python demo/image_demo.py photo.jpg CONFIG CHECKPOINT
    python demo/image_demo.py FOLDER aios_r50 CHECKPOINT --recursive \
        --out-dir results --score-thr 0.5 --device cuda --batch-size 8
    python demo/image_demo.py 'shots/*.png' CHECKPOINT --max-persons 1
"""

from __future__ import annotations

import argparse

from aios.apis.cli import add_options, add_reading_options, run_demo
from aios.utils.command_line import make_parser


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        'source',
        help='picture, folder of pictures, pattern in quotes, or file:// '
        'address',
    )
    add_options(parser)
    add_reading_options(parser)
    parser.set_defaults(out_dir='outputs/image_demo', save_mesh='obj')
    return parser


def main(argv: list[str] | None = None) -> int:
    """Find people; returns their number."""
    args = build_parser().parse_args(argv)
    return run_demo(args, args.source)


if __name__ == '__main__':
    main()
