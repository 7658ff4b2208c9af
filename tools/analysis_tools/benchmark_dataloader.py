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
import ctypes
import multiprocessing
import os
import re
import resource
import sys
import tempfile
import time
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from aios.datasets import HumanDataset
from aios.datasets.configured import add_dataset_arguments, dataset_config
from aios.registry import DATASETS, register_all_modules
from aios.structures import HUMAN_DATA_190
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
REPORT = -1


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
    parser.add_argument(
        '--sample-interval',
        type=int,
        default=1,
        metavar='N',
        help='with --persons: use every Nth image (default: 1)',
    )
    parser.add_argument('--workers', type=int, default=1)
    parser.add_argument('--samples', type=int, default=200)
    parser.add_argument('--batch-size', type=int, default=2)
    args = parser.parse_args(argv)
    if (args.config is None) == (args.persons is None):
        parser.error('give a config, or --persons')
    if args.config is not None and args.sample_interval != 1:
        parser.error('--sample-interval needs --persons')
    positive = 'workers', 'samples', 'batch_size', 'sample_interval'
    if min(getattr(args, name) for name in positive) < 1:
        parser.error(
            '--workers, --samples, --batch-size, --sample-interval must be '
            'positive'
        )
    return args


@errors_in_one_line()
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = parse_args(argv)
    register_all_modules()
    # As in training: one thread per worker.
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as folder:
        if args.persons is not None:
            dataset = made_up(args.persons, args.sample_interval, Path(folder))
        else:
            config = read_config(args.config, args.cfg_options)
            dataset = DATASETS.build(dataset_config(config, args.phase))
        measure(dataset, args)


def measure(dataset: Any, args: argparse.Namespace) -> None:
    """Print all numbers."""
    print(f'{len(dataset)} pictures')
    rng = np.random.default_rng(0)
    # The workers first: as in training, they inherit nothing of a pipeline
    # that ran before.
    measure_workers(dataset, rng, args)
    indices = rng.integers(0, len(dataset), args.samples).tolist()
    wall, cpu = rates(dataset, indices)
    print(
        f'one process    {wall:7.1f} pictures/s, {cpu:.1f} per second of CPU '
        'time'
    )


def measure_workers(
    dataset: Any, rng: np.random.Generator, args: argparse.Namespace
) -> None:
    """Print what the workers deliver, and what they weigh."""
    count = max(args.samples * args.workers // args.batch_size, 2)
    shape = (count, args.batch_size)
    batches: list[list[Any]] = rng.integers(0, len(dataset), shape).tolist()
    loader = DataLoader(
        Reporting(dataset),
        batch_sampler=batches,
        num_workers=args.workers,
        collate_fn=pseudo_collate,
        persistent_workers=True,
    )
    iterator = iter(loader)
    next(iterator)
    start, busy, cpu = time.perf_counter(), 0.0, 0.0
    for _ in range(count - 1):
        next(iterator)
        busy = max(busy, *worker_memory(iterator))
        cpu = max(cpu, worker_time(iterator))
    passed = time.perf_counter() - start
    seen = (count - 1) * args.batch_size
    per_cpu = f', {seen / cpu:.1f} per second of CPU time' if cpu else ''
    print(
        f'{args.workers} worker(s)    {seen / passed:7.1f} pictures/s{per_cpu}'
    )
    # When all pictures have left the workers, to each in turn.
    batches[:] = [[REPORT]] * args.workers
    reports = [batch[0] for batch in loader if batch[0] is not None]
    if reports:
        own, mapped = np.mean(reports, axis=0)
        print(
            f'memory         {own:7.1f} MB of its own per worker between '
            f'pictures, up to {busy:.0f} MB with pictures in work and on '
            f'their way; {mapped:.0f} MB shared with others or mapped from '
            'files'
        )


class Reporting:
    """The data set, whose workers also say what memory they own.

    Args:
        dataset: The data set.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return own_memory() if index == REPORT else self.dataset[index]


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


def own_memory() -> np.ndarray | None:
    """Megabytes of this process (Linux): its own, and others.

    Its own are the pages that it has written, or that its parent has written
    since. Pages of mapped label files are in the page cache once, whoever
    reads them. The C library keeps the buffers of pictures for the next ones,
    so it is asked to return them; batches on their way to the parent are in
    shared mappings.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
        text = Path('/proc/self/smaps').read_text()
    except (OSError, AttributeError):
        return None
    own = resident = 0
    private = False
    for name, value, *_ in map(str.split, text.splitlines()):
        if not name.endswith(':'):  # addresses and permissions of a mapping
            private = value.endswith('p')
        elif name == 'Rss:':
            resident += int(value)
        elif private and name == 'Private_Dirty:':
            own += int(value)
    return np.array([own, resident - own]) / 1024


def worker_memory(iterator: Any) -> list[float]:
    """Megabytes that each worker has written (Linux)."""
    sizes = [0.0]
    for worker in getattr(iterator, '_workers', ()):
        try:
            text = Path(f'/proc/{worker.pid}/smaps_rollup').read_text()
        except OSError:
            continue
        (size,) = re.findall(r'Private_Dirty: *(\d+)', text)
        sizes.append(int(size) / 1024)
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


def made_up(persons: int, interval: int, folder: Path) -> HumanDataset:
    """Data set of ``persons`` people in a few pictures, over and over."""
    # In processes of their own, whose memory is not inherited by the workers.
    context = multiprocessing.get_context('fork')
    for step, arguments in (
        (write_labels, (persons, folder)),
        (first_use, (interval, folder)),
    ):
        process = context.Process(target=step, args=arguments)
        process.start()
        process.join()
        if process.exitcode:
            sys.exit(f'error: {step.__name__} failed')
        # Pages that are yet to be written would count as the workers'.
        os.sync()
    start = time.perf_counter()
    dataset = open_labels(interval, folder)
    print(f'later:  opened in {time.perf_counter() - start:.2f} s')
    return dataset


def write_labels(persons: int, folder: Path) -> None:
    """Pictures, and an annotation file."""
    rng = np.random.default_rng(0)
    for number in range(PICTURES):
        draw(folder / f'{number}.jpg', rng)
    count = persons // PER_PICTURE * PER_PICTURE
    path = folder / 'labels.npz'
    start = time.perf_counter()
    with zipfile.ZipFile(
        path, 'w', zipfile.ZIP_DEFLATED, compresslevel=1
    ) as archive:
        for name, value in arrays(count, rng).items():
            content = np.array(
                value, object if isinstance(value, dict) else None
            )
            with archive.open(f'{name}.npy', 'w', force_zip64=True) as member:
                np.lib.format.write_array(member, content)
        for name, width in (('keypoints2d', 3), ('keypoints3d', 4)):
            with archive.open(
                f'{name}_smplx.npy', 'w', force_zip64=True
            ) as member:
                write_points(member, count, width, rng)
    size = path.stat().st_size / 2**20
    took = time.perf_counter() - start
    print(f'labels of {count:,} persons: {size:.0f} MB in {took:.0f} s')


def write_points(
    member: IO[bytes], count: int, width: int, rng: np.random.Generator
) -> None:
    """Joints ``(count, 144, width)``, a block at a time."""
    header = {'descr': '<f4', 'fortran_order': False}
    header['shape'] = (count, 144, width)
    np.lib.format.write_array_header_1_0(member, header)
    for start in range(0, count, 4096):
        block = np.ones((min(4096, count - start), 144, width), np.float32)
        block[..., :2] = rng.random(block[..., :2].shape, np.float32)
        block[..., :2] = block[..., :2] * 300 + 60
        member.write(block.tobytes())


def first_use(interval: int, folder: Path) -> None:
    """Unpack the labels, and say what it takes."""
    start = time.perf_counter(), time.process_time()
    open_labels(interval, folder)
    passed = time.perf_counter() - start[0]
    cpu = time.process_time() - start[1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    stores = (folder / '.aios_cache').rglob('*.npy')
    size = sum(path.stat().st_size for path in stores) / 2**20
    print(
        f'first:  opened in {passed:.1f} s, {cpu:.1f} s of CPU time, '
        f'{peak:.0f} MB at the peak, {size:.1f} MB of unpacked labels'
    )


def open_labels(interval: int, folder: Path) -> HumanDataset:
    """The data set."""
    return HumanDataset(
        'labels.npz',
        data_root=str(folder),
        pipeline=PIPELINE,
        sample_interval=interval,
        group_by_image=False,  # the same few pictures again and again
        flat_hand_mean=False,
    )


def draw(path: Path, rng: np.random.Generator) -> None:
    """A picture that costs as much to decode as a photograph."""
    coarse = rng.integers(0, 256, (HEIGHT // 8, WIDTH // 8, 3), np.uint8)
    image = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(path), image)


def arrays(count: int, rng: np.random.Generator) -> dict[str, Any]:
    """Labels without meaning, in the shapes of a real file, but joints."""

    def noise(*shape: int) -> np.ndarray:
        return rng.standard_normal((count, *shape), np.float32)

    joints = len(HUMAN_DATA_190)
    corner = rng.uniform(50, 400, (count, 2)).astype(np.float32)
    size = rng.uniform(100, 300, (count, 2)).astype(np.float32)
    ones = np.ones((count, 1), np.float32)
    mask = np.zeros(joints, np.uint8)
    mask[:144] = 1

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
        '__keypoints_compressed__': True,
        'keypoints2d_smplx_mask': mask,
        'keypoints3d_smplx_mask': mask,
        'smplx': {
            'global_orient': noise(3),
            'body_pose': noise(21, 3),
            'left_hand_pose': noise(15, 3),
            'right_hand_pose': noise(15, 3),
            'jaw_pose': noise(3),
            'betas': noise(10),
            'expression': noise(10),
            'transl': noise(3),
        },
        'meta': {
            'height': np.full(count, HEIGHT),
            'width': np.full(count, WIDTH),
        },
        'misc': {'flat_hand_mean': False},
    }


if __name__ == '__main__':
    main()
