#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""How fast a data set delivers, and what its workers weigh.

Measures pictures per second of one process and of workers, and the memory
that each worker has for itself, apart from what all share.

Example:
    python tools/analysis_tools/benchmark_dataloader.py \
        configs/_base_/datasets/synthetic.py --workers 2
    python tools/analysis_tools/benchmark_dataloader.py --persons 200000
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader, RandomSampler

from aios.datasets import HumanData, HumanDataError, HumanDataset
from aios.datasets.configured import add_dataset_arguments, dataset_config
from aios.registry import DATASETS
from aios.structures import HUMAN_DATA_190
from aios.utils import register_all_modules
from aios.utils.command_line import (
    errors_in_one_line,
    make_parser,
    read_config,
)

PIPELINE = [
    {'type': 'LoadImage'},
    {'type': 'LoadHumanAnnotations'},
    {'type': 'PersonGroupCrop', 'sample_prob': 0.7, 'sample_ratio': 0.5},
    {'type': 'WholeBodyResize', 'scale': (1333, 800)},
    {'type': 'WholeBodyFlip', 'prob': 0.5},
    {'type': 'ChannelGain', 'gain_range': (0.8, 1.2)},
    {'type': 'FilterWholeBody'},
    {'type': 'PackWholeBodyInputs'},
]
PER_PICTURE, PICTURES, HEIGHT, WIDTH = 5, 32, 720, 1280


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    add_dataset_arguments(parser, required=False)
    parser.add_argument(
        '--persons',
        type=int,
        metavar='N',
        help='measure a made-up file of N persons instead: 1280 x 720, '
        f'{PER_PICTURE} people per picture',
    )
    parser.add_argument('--workers', type=int, default=1)
    parser.add_argument('--samples', type=int, default=200)
    parser.add_argument('--batch-size', type=int, default=2)
    args = parser.parse_args(argv)
    if (args.config is None) == (args.persons is None):
        parser.error('give a config, or --persons')
    if min(args.workers, args.samples, args.batch_size) < 1:
        parser.error('--workers, --samples, --batch-size must be positive')
    return args


@errors_in_one_line()
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = parse_args(argv)
    register_all_modules()
    # As in training: one thread per worker.
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as folder:
        try:
            if args.persons is not None:
                dataset = made_up(args.persons, Path(folder))
            else:
                dataset = configured(args)
        except (OSError, HumanDataError) as error:
            sys.exit(f'error: {error}')
        measure(dataset, args)


def configured(args: argparse.Namespace) -> Any:
    """Data set of a config."""
    config = read_config(args.config, args.cfg_options)
    try:
        return DATASETS.build(dataset_config(config, args.phase))
    except ValueError as error:
        sys.exit(f'error: {error}')


def measure(dataset: Any, args: argparse.Namespace) -> None:
    """Print all numbers."""
    print(f'{len(dataset)} pictures')
    rng = np.random.default_rng(0)
    indices = rng.integers(0, len(dataset), args.samples).tolist()
    wall, cpu = rates(dataset, indices)
    print(
        f'one process    {wall:7.1f} pictures/s, {cpu:.1f} per second of CPU '
        'time'
    )

    loader = DataLoader(
        dataset,
        batch_size=args.batch_size,
        sampler=RandomSampler(
            dataset,
            replacement=True,
            num_samples=args.samples * args.workers,
        ),
        num_workers=args.workers,
        collate_fn=pseudo_collate,
    )
    iterator = iter(loader)
    next(iterator)
    start, seen, memory, cpu = time.perf_counter(), 0, [], 0.0
    for batch in iterator:
        seen += len(batch['inputs'])
        memory = worker_memory(iterator) or memory
        cpu = max(cpu, worker_time(iterator))
    passed = time.perf_counter() - start
    per_cpu = f', {seen / cpu:.1f} per second of CPU time' if cpu else ''
    print(
        f'{args.workers} worker(s)    {seen / passed:7.1f} pictures/s{per_cpu}'
    )
    if memory:
        own = np.mean([m[0] for m in memory])
        mapped = np.mean([m[1] for m in memory])
        print(
            f'memory         {own:7.0f} MB of its own per worker, '
            f'{mapped:.0f} MB shared with others or mapped from files'
        )


def rates(dataset: Any, indices: list[int]) -> tuple[float, float]:
    """Pictures per second in this process, of the clock and of CPU time.

    The second is what counts on a machine that others use, too.
    """
    for index in indices[:3]:
        dataset[index]
    start, cpu = time.perf_counter(), time.process_time()
    for index in indices:
        dataset[index]
    passed = time.perf_counter() - start
    return len(indices) / passed, len(indices) / (time.process_time() - cpu)


def worker_memory(iterator: Any) -> list[tuple[float, float]]:
    """Megabytes of each worker (Linux): its own, and others.

    Its own are pages that it has written. Pages of mapped label files are in
    the page cache once, whoever reads them.
    """
    sizes = []
    for worker in getattr(iterator, '_workers', ()):
        try:
            text = Path(f'/proc/{worker.pid}/smaps_rollup').read_text()
        except OSError:
            return []
        fields = {
            line.split(':')[0]: int(line.split()[1])
            for line in text.splitlines()
            if line.endswith('kB')
        }
        own = fields['Private_Dirty']
        sizes.append((own / 1024, (fields['Rss'] - own) / 1024))
    return sizes


def worker_time(iterator: Any) -> float:
    """Seconds of CPU time that all workers took (Linux)."""
    ticks = 0
    for worker in getattr(iterator, '_workers', ()):
        try:
            text = Path(f'/proc/{worker.pid}/stat').read_text()
        except OSError:
            return 0.0
        # Behind the name, which may hold blanks: user and system time.
        ticks += sum(map(int, text.rpartition(')')[2].split()[11:13]))
    return ticks / os.sysconf('SC_CLK_TCK')


def made_up(persons: int, folder: Path) -> HumanDataset:
    """Data set of ``persons`` people in a few pictures, over and over."""
    # In a process of its own, whose memory is not inherited by the workers.
    process = multiprocessing.get_context('fork').Process(
        target=write_labels, args=(persons, folder)
    )
    process.start()
    process.join()
    if process.exitcode:
        sys.exit('error: the labels could not be written')
    # Pages that are yet to be written to disk would count as the workers'.
    os.sync()
    start = time.perf_counter()
    dataset = open_labels(folder)
    print(f'later:  opened in {time.perf_counter() - start:.2f} s')
    return dataset


def write_labels(persons: int, folder: Path) -> None:
    """Pictures, annotation file, and its first use."""
    rng = np.random.default_rng(0)
    for number in range(PICTURES):
        draw(folder / f'{number}.jpg', rng)
    data = HumanData(arrays(persons // PER_PICTURE * PER_PICTURE, rng))
    data.compress()
    start = time.perf_counter()
    data.dump(folder / 'labels.npz')
    size = (folder / 'labels.npz').stat().st_size / 2**20
    took = time.perf_counter() - start
    print(f'labels of {len(data):,} persons: {size:.0f} MB in {took:.0f} s')
    start = time.perf_counter()
    open_labels(folder)
    print(f'first:  opened in {time.perf_counter() - start:.2f} s')


def open_labels(folder: Path) -> HumanDataset:
    """The data set."""
    return HumanDataset(
        'labels.npz',
        data_root=str(folder),
        pipeline=PIPELINE,
        group_by_image=False,  # the same few pictures again and again
        flat_hand_mean=False,
    )


def draw(path: Path, rng: np.random.Generator) -> None:
    """A picture that costs as much to decode as a photograph."""
    coarse = rng.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    image = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(path), image)


def arrays(count: int, rng: np.random.Generator) -> dict[str, Any]:
    """Labels without meaning, in the shapes of a real file."""
    joints = len(HUMAN_DATA_190)
    corner = rng.uniform(50, 400, (count, 2)).astype(np.float32)
    size = rng.uniform(100, 300, (count, 2)).astype(np.float32)
    ones = np.ones((count, 1), np.float32)
    mask = np.zeros(joints, np.uint8)
    mask[:144] = 1

    def points(width: int) -> np.ndarray:
        block = np.zeros((count, joints, width), np.float32)
        noise = rng.random((4096, 144, 2), np.float32)
        for start in range(0, count, len(noise)):
            rows = slice(start, min(count, start + len(noise)))
            block[rows, :144, :2] = noise[: rows.stop - start] * 300 + 60
        block[:, :144, -1] = 1
        return block

    def box(share: float) -> np.ndarray:
        return np.hstack((corner + size * share, size * (1 - share), ones))

    image = np.arange(count) // PER_PICTURE
    starts = np.arange(0, count, PER_PICTURE)
    return {
        'image_path': [f'{i % PICTURES}.jpg' for i in image.tolist()],
        'frame_range': np.stack((starts, starts + PER_PICTURE), 1),
        'bbox_xywh': box(0),
        'lhand_bbox_xywh': box(0.8),
        'rhand_bbox_xywh': box(0.9),
        'face_bbox_xywh': box(0.7),
        'keypoints2d_smplx': points(3),
        'keypoints2d_smplx_mask': mask,
        'keypoints3d_smplx': points(4),
        'keypoints3d_smplx_mask': mask,
        'smplx': {
            'global_orient': np.zeros((count, 3), np.float32),
            'body_pose': np.zeros((count, 21, 3), np.float32),
            'left_hand_pose': np.zeros((count, 15, 3), np.float32),
            'right_hand_pose': np.zeros((count, 15, 3), np.float32),
            'jaw_pose': np.zeros((count, 3), np.float32),
            'betas': rng.normal(size=(count, 10)).astype(np.float32),
            'expression': np.zeros((count, 10), np.float32),
            'transl': np.zeros((count, 3), np.float32),
        },
        'meta': {
            'height': np.full(count, HEIGHT),
            'width': np.full(count, WIDTH),
        },
        'misc': {'flat_hand_mean': False},
    }


if __name__ == '__main__':
    main()
