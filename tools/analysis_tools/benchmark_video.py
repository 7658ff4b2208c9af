#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Measure video_demo.py end to end, with the waiting times of its threads.

Reading, the network, and drawing with writing run in three threads. The table
has the CPU time of each thread and how long it waited for the others; CPU time
of PyTorch's other threads is included in the total only. Without
``--checkpoint`` weights are random, and ``--persons`` persons are returned per
frame; ``--drawn`` renders as many persons for the shipped weights. With
``--live FPS`` frames arrive at that rate, as from a camera; frames that come
while the network is busy are dropped, and nothing is written. The time from a
frame to its drawn image is then printed, too.

Example:
    python tools/analysis_tools/benchmark_video.py configs/aios/aios_tiny.py \
        --frames 40 --threads 2
    python tools/analysis_tools/benchmark_video.py aios_s --runtime onnx \
        --size 640x480 --drawn --persons 5 --threads 2 --live 30
"""

from __future__ import annotations

import argparse
import contextlib
import math
import queue
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from aios.apis.cli import add_runtime_options, runtime_options
from aios.apis.frames import Frame, FrameSource
from aios.apis.inferencer import AiOSInferencer
from aios.apis.job import Outputs, run_inference
from aios.apis.onnx_inferencer import OnnxInferencer
from aios.apis.sources import open_sources
from aios.apis.writers import FrameWriter
from aios.engine.profiling import build_detector
from aios.results import FrameResult
from aios.synthetic import (
    BodyBank,
    SceneOptions,
    render_scene,
    sample_scene,
)
from aios.utils.command_line import (
    add_config_argument,
    errors_in_one_line,
    image_size,
    make_parser,
    markdown_table,
    read_config,
)
from aios.utils.shipped import SHIPPED_MODEL
from aios.visualization import OverlayDrawer, VideoFile

# Names of threads, see aios.apis.threads
THREADS = {
    'prefetch': 'read and prepare',
    'MainThread': 'network',
    'consumer': 'draw and write',
}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    add_config_argument(parser)
    parser.add_argument('--checkpoint', help='weights (default: random)')
    add_runtime_options(parser)
    parser.add_argument('--video', help='video file (default: moving noise)')
    parser.add_argument(
        '--drawn',
        action='store_true',
        help='render persons side by side instead of noise',
    )
    parser.add_argument(
        '--size',
        type=image_size,
        default='1280x720',
        help='frame size without --video',
    )
    parser.add_argument(
        '--frames',
        type=int,
        default=40,
        help='number of frames without --video',
    )
    parser.add_argument('--persons', type=int, default=10)
    parser.add_argument('--batch-size', type=int, default=1)
    parser.add_argument('--device', default='cpu')
    parser.add_argument('--threads', type=int, help='CPU threads')
    parser.add_argument(
        '--live',
        type=float,
        metavar='FPS',
        help='deliver frames at this rate, as a camera does',
    )
    return parser.parse_args(argv)


def draw_noise(width: int, height: int) -> np.ndarray:
    """A colored pattern, ``(H, W, 3)``."""
    pattern = np.random.default_rng(0).integers(0, 255, (9, 16, 3), np.uint8)
    return cv2.resize(pattern, (width, height))


def draw_persons(width: int, height: int, count: int) -> np.ndarray:
    """Persons in columns, from six on in two rows, ``(H, W, 3)``."""
    num_rows = 1 if count < 6 else 2
    num_columns = math.ceil(count / num_rows)
    bank = BodyBank()
    options = SceneOptions(
        width // num_columns, height // num_rows, (1, 1), fill=(0.6, 0.7)
    )
    cells = []
    for seed in range(num_rows * num_columns):
        rng = np.random.default_rng(seed)
        scene = sample_scene(rng, bank, options)
        cells.append(render_scene(rng, scene, bank).image)
    grid = np.stack(cells).reshape(num_rows, num_columns, *cells[0].shape)
    image = np.concatenate(np.concatenate(grid, axis=1), axis=1)
    return cv2.resize(image, (width, height))


def write_video(path: Path, image: np.ndarray, frames: int) -> None:
    """Write a video of an image that moves sideways."""
    with VideoFile(path, 25) as video:
        for index in range(frames):
            video.write(np.roll(image, 8 * index, axis=1))


class Camera(FrameSource):
    """Play a video at a fixed rate.

    Args:
        path: The video, which is held in memory.
        fps: Frames a second.
    """

    live = True

    def __init__(self, path: Path, fps: float) -> None:
        super().__init__('camera')
        self.fps = fps
        (source,) = open_sources(str(path))
        self._video = list(source.frames())

    def frames(self, *_: Any) -> Iterator[Frame]:
        """All frames; their time is when the camera saw them."""
        start = time.perf_counter()
        for frame in self._video:
            due = start + frame.index / self.fps
            time.sleep(max(0.0, due - time.perf_counter()))
            yield replace(frame, timestamp=time.perf_counter())


class Screen(FrameWriter):
    """Draw frames and record their age.

    Args:
        faces: ``(F, 3)`` triangles of the bodies.

    Attributes:
        ages: Seconds from the camera to the drawn image.
    """

    per_frame = False
    needs_image = needs_vertices = True

    def __init__(self, faces: np.ndarray) -> None:
        self._draw = OverlayDrawer(faces)
        self.ages: list[float] = []

    def write(self, frame: FrameResult, image: np.ndarray | None) -> None:
        """Draw a frame."""
        assert image is not None  # it said that it needs one
        self._draw(frame, image)
        self.ages.append(time.perf_counter() - frame.timestamp)


def write_checkpoint(path: Path, config: str, options: dict) -> None:
    """Write a checkpoint with random weights."""
    model = build_detector(read_config(config, options))
    torch.save({'state_dict': model.state_dict()}, path)


def make_inferencer(
    args: argparse.Namespace, folder: Path
) -> AiOSInferencer | OnnxInferencer:
    """Make the inferencer to measure."""
    common: dict[str, Any] = dict(
        score_thr=0.0,
        max_persons=args.persons,
        batch_size=args.batch_size,
        show_progress=False,
    )
    if runtime := runtime_options(args):
        path = None if args.config == SHIPPED_MODEL else args.config
        common.update(runtime)
        return OnnxInferencer(path, args.device, args.threads, **common)
    options: dict[str, Any] = {'model.bbox_head.body_model.model_path': 'free'}
    checkpoint = args.checkpoint
    if checkpoint is None:
        # whatever is likelier than a person
        options['model.test_cfg.person_class_only'] = True
        checkpoint = folder / 'random.pth'
        write_checkpoint(checkpoint, args.config, options)
    return AiOSInferencer(
        args.config, checkpoint, args.device, cfg_options=options, **common
    )


@contextlib.contextmanager
def watch() -> Iterator[dict[str, dict[str, float]]]:
    """Record processor and waiting time of threads by name."""
    spent: dict[str, dict[str, float]] = defaultdict(
        lambda: defaultdict(float)
    )
    run, get, put = threading.Thread.run, queue.Queue.get, queue.Queue.put

    def timed_run(self: threading.Thread) -> None:
        start = time.thread_time()
        run(self)
        spent[self.name]['processor'] += time.thread_time() - start

    def timed(function: Any) -> Any:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                waited = time.perf_counter() - start
                spent[threading.current_thread().name]['waits'] += waited

        return wrapped

    threading.Thread.run = timed_run  # type: ignore[method-assign]
    queue.Queue.get = timed(get)  # type: ignore[method-assign]
    queue.Queue.put = timed(put)  # type: ignore[method-assign]
    start = time.thread_time()
    try:
        yield spent
    finally:
        spent['MainThread']['processor'] = time.thread_time() - start
        threading.Thread.run = run  # type: ignore[method-assign]
        queue.Queue.get = get  # type: ignore[method-assign]
        queue.Queue.put = put  # type: ignore[method-assign]


@errors_in_one_line()
def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        video = Path(args.video or root / 'noise.mp4')
        if args.video is None:
            image = (
                draw_persons(*args.size, args.persons)
                if args.drawn
                else draw_noise(*args.size)
            )
            write_video(video, image, args.frames)
        # MMEngine logs the file it reads.
        with contextlib.redirect_stdout(sys.stderr):
            inferencer = make_inferencer(args, root)
        sources, screens = open_sources(str(video)), []
        # Kernels are compiled before, some of them for a size of images.
        first = next(iter(sources[0].frames())).image
        list(inferencer.stream(first))
        if args.live:
            sources = [Camera(video, args.live)]
            screens = [Screen(inferencer.faces)]
        wall, processor = time.perf_counter(), time.process_time()
        with watch() as spent:
            summary = run_inference(
                inferencer,
                sources,
                root / 'out',
                outputs=Outputs(vis=not args.live),
                senders=screens,
            )
        wall = time.perf_counter() - wall
        processor = time.process_time() - processor
    frames = summary.frames
    print(
        f'{frames} frames, {summary.persons / frames:.0f} persons each, '
        f'batch size {args.batch_size}, {args.device}, '
        f'{args.threads or torch.get_num_threads()} threads\n'
    )
    rows = [['ms per frame', 'CPU time', 'waiting']]
    for name, title in THREADS.items():
        times = (spent[name][x] / frames for x in ('processor', 'waits'))
        rows.append([title, *(f'{1000 * x:.0f}' for x in times)])
    rows.append(['all threads', f'{1000 * processor / frames:.0f}', ''])
    print(markdown_table(rows))
    print(f'\n{frames / wall:.2f} frames/s, wall clock')
    for screen in screens:
        age = 1000 * np.median(screen.ages)
        print(
            f'{age:.0f} ms from the camera frame to the drawn image (median)'
        )


if __name__ == '__main__':
    main()
