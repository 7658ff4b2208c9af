# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Process groups for distributed tests, with the gloo backend."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import distributed

# Nothing has to be imported again.
FORK = multiprocessing.get_context('fork')


def run_group(
    size: int, work: Callable[..., None], folder: Path, *args: object
) -> None:
    """Call ``work(rank, *args)`` in the processes of a group.

    Args:
        size: Number of processes.
        work: Function that each process calls.
        folder: Folder of the file that the processes use to connect.
        args: Arguments of ``work``.
    """
    store = folder / f'store{len(list(folder.glob("store*")))}'

    def target(rank: int) -> None:
        torch.set_num_threads(1)
        numbers = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=size)
        os.environ.update({k: str(v) for k, v in numbers.items()})
        distributed.init_process_group(
            'gloo', init_method=store.as_uri(), rank=rank, world_size=size
        )
        work(rank, *args)
        distributed.barrier()
        distributed.destroy_process_group()

    processes = [FORK.Process(target=target, args=(r,)) for r in range(size)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0] * size
