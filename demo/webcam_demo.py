#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Detect persons in the frames of a camera.

The newest frame is shown with boxes, skeletons and bodies; frames that arrive
during processing are skipped. With --out-dir the same files are written as by
video_demo.py. Press q, Esc or Ctrl-C, or close the window to stop.

Examples:
    python demo/webcam_demo.py 0 CONFIG CHECKPOINT --show
    python demo/webcam_demo.py 0 aios_r50 CHECKPOINT --out-dir session \
        --max-frames 500 --track
    python demo/webcam_demo.py rtsp://ADDRESS CHECKPOINT --show
    python demo/webcam_demo.py 0 --view viser --track
    python demo/webcam_demo.py 0 --send vmc --largest-person --smooth
"""

from __future__ import annotations

import argparse

from aios.apis.cli import add_options
from aios.apis.live import run_live
from aios.apis.live_views import VIEWS
from aios.apis.senders import SENDERS
from aios.utils.command_line import make_parser


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        'camera', help='camera number, address of a stream, or video file'
    )
    add_options(parser)
    parser.add_argument(
        '--show', action='store_true', help='open a window (needs a display)'
    )
    parser.add_argument(
        '--view',
        choices=VIEWS,
        help='show meshes and the camera in 3-D, in the Rerun viewer or in a '
        'browser with viser (docs/en/live.md)',
    )
    parser.add_argument(
        '--max-frames', type=int, metavar='N', help='stop after N frames'
    )
    parser.add_argument(
        '--send',
        choices=SENDERS,
        help='send persons to other programs: Open Sound Control, Virtual '
        'Motion Capture protocol, or JSON over ZeroMQ (docs/en/live.md)',
    )
    parser.add_argument(
        '--send-to',
        metavar='HOST:PORT',
        help='destination of --send (default: port 9000 (osc), 39539 (vmc) '
        'or 5555 (zmq) of this machine)',
    )
    parser.set_defaults(out_dir=None)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Find persons; returns the number of processed frames."""
    args = build_parser().parse_intermixed_args(argv)
    return run_live(args)


if __name__ == '__main__':
    main()
