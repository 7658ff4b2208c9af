# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Main function of ``demo/webcam_demo.py``."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import Any, cast

import numpy as np
from tqdm import tqdm

from aios.body_models import BodyPoser
from aios.export import EXPORTERS
from aios.results import FrameResult
from aios.tracking import with_appearance
from aios.visualization import OverlayDrawer

from .cli import (
    make_inferencer,
    make_outputs,
    make_processing,
    report,
)
from .consumer import write_frame
from .exit_codes import run
from .job import Inferencer, Summary, run_inference
from .live_views import VIEWS
from .post_processing import (
    PostProcessing,
    make_tracker,
    prediction_options,
)
from .post_processing import make_processing as make_steps
from .senders import make_sender
from .sources import CameraSource, Frame
from .threads import BackgroundConsumer
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
        SystemExit: See :func:`aios.apis.exit_codes.run`.
    """
    return run(lambda: _follow(args).frames, args.out_dir, resumable=False)


def _follow(args: argparse.Namespace) -> Summary:
    _check(args)
    device = int(args.camera) if args.camera.isdecimal() else args.camera
    inferencer = make_inferencer(args)
    camera = CameraSource(device, args.max_frames)
    outputs, processing = make_outputs(args), make_processing(args)
    receivers: list[FrameWriter] = []
    if args.view is not None:
        receivers.append(VIEWS[args.view](inferencer.faces))
    if args.send is not None:
        body_model = inferencer.body_model
        sender = make_sender(args.send, args.send_to, body_model)
        receivers.append(sender)
    window = None
    if args.show:
        draw = OverlayDrawer(inferencer.faces, outputs.overlay())
        window = Window(draw, camera.stop)
    with ExitStack() as stack:
        _end_at_interrupt(camera, stack)
        if args.out_dir is None:
            summary = _watch(inferencer, camera, processing, receivers, window)
        else:
            summary = run_inference(
                inferencer,
                [camera],
                args.out_dir,
                outputs=outputs,
                processing=processing,
                overwrite=args.overwrite,
                resume=args.resume,
                window=window,
                senders=receivers,
            )
    report(summary, args)
    return summary


def _check(args: argparse.Namespace) -> None:
    if not (args.out_dir or args.show or args.view or args.send):
        raise ValueError(
            'no output is selected: add --show, --view, --out-dir or --send'
        )
    if args.send_to is not None and args.send is None:
        raise ValueError('--send-to needs --send')
    if args.out_dir is None:
        for name in ('ground', 'fill_gaps', 'resume'):
            if getattr(args, name):
                flag = '--' + name.replace('_', '-')
                raise ValueError(f'{flag} needs --out-dir')
        formats = make_outputs(args).formats
        if formats:
            flag = EXPORTERS[formats[0]].flag
            raise ValueError(f'{flag} needs --out-dir')


def _watch(
    inferencer: Inferencer,
    camera: CameraSource,
    processing: PostProcessing,
    receivers: Sequence[FrameWriter],
    window: Window | None,
) -> Summary:
    """Process frames without files, so a session may last for weeks."""
    writers = [*receivers] if window is None else [*receivers, window]
    poser = BodyPoser(inferencer.body_model)
    steps = make_steps(
        processing,
        make_tracker(inferencer.instance_filter.score_thr),
        camera.fps,
        inferencer.body_model,
    )
    summary = Summary()

    def consume(item: tuple[Frame, FrameResult]) -> None:
        frame, result = item
        if steps:
            image = cast(np.ndarray, frame.image)
            result = with_appearance(result, image)
        for step in steps:
            result = step(result)
        write_frame(frame, result, writers, poser, processing.smooth)
        summary.frames += 1
        summary.persons += len(result)

    with ExitStack() as stack:
        for writer in writers:
            stack.enter_context(writer)
        options = prediction_options(inferencer, processing)
        predictions: Any = inferencer.predict(
            camera.frames(), live=True, **options
        )
        stack.enter_context(closing(predictions))
        bar = stack.enter_context(
            tqdm(
                unit='frame',
                desc=camera.name,
                disable=not inferencer.show_progress,
            )
        )
        thread = stack.enter_context(BackgroundConsumer(consume, 1))
        for frame, result, _ in predictions:
            if result is not None:
                thread.put((frame, result))
            bar.update()
            if window is not None:
                window.refresh()
    summary.notes += camera.notes
    return summary


def _end_at_interrupt(camera: CameraSource, stack: ExitStack) -> None:
    """Make Ctrl-C and SIGTERM stop the camera, and a second one the program.

    SIGTERM is how ``docker stop`` and job schedulers end a session.
    """

    def end(number: int, _: Any) -> None:
        camera.stop()
        signal.signal(number, signal.default_int_handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        stack.callback(signal.signal, number, signal.signal(number, end))
