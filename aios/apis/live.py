# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Main function of ``demo/webcam_demo.py``."""

from __future__ import annotations

import argparse
import signal
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from aios.visualization import OverlayDrawer

from .cli import make_inferencer, make_outputs, make_processing, run
from .job import Summary, run_inference
from .live_views import VIEWS
from .senders import make_sender
from .sources import CameraSource
from .window import Window
from .writers import FrameWriter


def run_live(args: argparse.Namespace) -> int:
    """Process a camera until the user stops it.

    Args:
        args: Options of :func:`aios.apis.cli.add_options`, ``camera``,
            ``max_frames``, ``show``, ``view``, ``send`` and ``send_to``;
            ``out_dir`` may be ``None``.

    Returns:
        Number of processed frames.

    Raises:
        SystemExit: See :func:`aios.apis.cli.run`.
    """
    return run(lambda: _follow(args).frames, args.out_dir)


def _follow(args: argparse.Namespace) -> Summary:
    if not (args.out_dir or args.show or args.view or args.send):
        raise ValueError(
            'no output is selected: add --show, --view, --out-dir or --send'
        )
    if args.send_to is not None and args.send is None:
        raise ValueError('--send-to needs --send')
    device = int(args.camera) if args.camera.isdecimal() else args.camera
    inferencer = make_inferencer(args)
    camera = CameraSource(device, args.max_frames)
    outputs = make_outputs(args)
    receivers: list[FrameWriter] = []
    if args.view is not None:
        receivers.append(VIEWS[args.view](inferencer.faces))
    if args.send is not None:
        body_model = inferencer.body_model
        sender = make_sender(args.send, args.send_to, body_model)
        receivers.append(sender)
    with ExitStack() as stack:
        window = None
        if args.show:
            draw = OverlayDrawer(inferencer.faces, outputs.overlay())
            window = Window(draw, camera.stop)
        folder = args.out_dir
        if folder is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            outputs = replace(outputs, vis=False)
        _end_at_interrupt(camera, stack)
        return run_inference(
            inferencer,
            [camera],
            folder,
            outputs=outputs,
            processing=make_processing(args),
            overwrite=args.overwrite,
            resume=args.resume,
            window=window,
            senders=receivers,
        )


def _end_at_interrupt(camera: CameraSource, stack: ExitStack) -> None:
    """Make Ctrl-C stop the camera, and a second one the program."""

    def end(*_: Any) -> None:
        camera.stop()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, end)
    stack.callback(signal.signal, signal.SIGINT, before)
