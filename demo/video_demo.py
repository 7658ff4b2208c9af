#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Find the people of a video, frame by frame.

In the output folder:

    params.npz      people of all frames, see aios.export.PeopleSequence
    vis.mp4         the video with boxes, skeletons and bodies

Memory does not grow with the length of the video. After an interruption the
same command with --resume goes on.

Examples:
    python demo/video_demo.py dance.mp4 CONFIG CHECKPOINT --track --smooth
    python demo/video_demo.py dance.mp4 aios_r50 CHECKPOINT --out-dir dance \
        --nms-iou 0.7 --start 100 --end 400 --save-glb
"""

from __future__ import annotations

import argparse

from aios.apis.cli import add_options, add_reading_options, run_demo
from aios.utils.command_line import make_parser


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        'source', help='video; also a folder or a pattern of several'
    )
    add_options(parser)
    add_reading_options(parser)
    parser.set_defaults(out_dir='outputs/video_demo')
    return parser


def main(argv: list[str] | None = None) -> int:
    """Find people; returns their number."""
    args = build_parser().parse_args(argv)
    return run_demo(args, args.source)


if __name__ == '__main__':
    main()
