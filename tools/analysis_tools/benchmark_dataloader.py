#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Measure the speed of a dataset, and the memory of its workers.

Measures images per second of one process and of workers, and the private
memory of a worker.

Example:
    python tools/analysis_tools/benchmark_dataloader.py \
        configs/_base_/datasets/synthetic.py --workers 2
"""

from __future__ import annotations

import argparse
import re
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

from aios.datasets.configured import (
    add_dataset_arguments,
    build_dataset,
    dataset_config,
)
from aios.utils.command_line import (
    errors_in_one_line,
    make_parser,
    number,
    read_config,
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = make_parser(__doc__)
    add_dataset_arguments(parser)
    for name, default in (('workers', 1), ('samples', 200), ('batch-size', 2)):
        parser.add_argument(f'--{name}', type=number(int, 1), default=default)
    return parser.parse_args(argv)


@errors_in_one_line()
def main(argv: Sequence[str] | None = None) -> None:
    """Run the command."""
    args = parse_args(argv)
    cv2.setNumThreads(0)  # as in training: one thread per worker
    config = read_config(args.config, args.cfg_options)
    dataset = build_dataset(config, dataset_config(config, args.phase))
    print(f'{len(dataset)} images')
    rng = np.random.default_rng(0)
    # The workers first: as in training, they must not inherit caches of the
    # main process.
    count = max(args.samples * args.workers // args.batch_size, 2)
    batches = rng.integers(0, len(dataset), (count, args.batch_size)).tolist()
    loader = DataLoader(
        dataset,
        batch_sampler=batches,
        num_workers=args.workers,
        collate_fn=pseudo_collate,
    )
    memory = 0.0

    def load() -> None:
        nonlocal memory
        iterator: Any = iter(loader)
        for _ in iterator:
            sizes = (own_memory(worker.pid) for worker in iterator._workers)
            memory = max(memory, *sizes)

    name = f'{args.workers} worker(s)'
    # CPU time of children is known when they have ended.
    report(name, count * args.batch_size, load, resource.RUSAGE_CHILDREN)
    if memory:
        print(f'{"memory":14s} {memory:7.0f} MB of unshared memory per worker')
    indices = rng.integers(0, len(dataset), args.samples).tolist()

    def read() -> None:
        for index in indices:
            dataset[index]

    report('one process', args.samples, read, resource.RUSAGE_SELF)


def report(name: str, count: int, work: Callable[[], None], who: int) -> None:
    """Print images per second, of the clock and of CPU time.

    The second is what counts on a machine that others use, too.
    """
    start, before = time.perf_counter(), resource.getrusage(who)
    work()
    after = resource.getrusage(who)
    cpu = sum(after[:2]) - sum(before[:2])  # user and system
    passed = time.perf_counter() - start
    print(
        f'{name:14s} {count / passed:7.1f} images/s, {count / cpu:.1f} per '
        'second of CPU time'
    )


def own_memory(process: int) -> float:
    """Megabytes that a process has written (Linux; elsewhere 0).

    Pages of mapped label files are in the page cache once, whoever reads
    them.
    """
    try:
        text = Path(f'/proc/{process}/smaps_rollup').read_text()
    except OSError:
        return 0.0
    (size,) = re.findall(r'Private_Dirty: *(\d+)', text)
    return int(size) / 1024


if __name__ == '__main__':
    main()
