# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Worker processes that end with their parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

_SECONDS = 1.0
_T = TypeVar('_T')


def end_with_parent() -> None:
    """End this process by SIGTERM soon after its parent has died.

    Otherwise processes of a killed torchrun would keep running and hold their
    folder and GPUs, and workers of a pool would wait forever.
    """
    parent, number = multiprocessing.parent_process(), os.getppid()

    def watch() -> None:
        if parent is not None:
            parent.join()
        while parent is None and os.getppid() == number:
            time.sleep(_SECONDS)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name='watch parent', daemon=True).start()


def run_in_processes(
    function: Callable[..., _T], calls: Iterable[tuple[Any, ...]], workers: int
) -> Iterator[_T]:
    """Call a function many times in several processes.

    Calls must write files atomically, as processes may be killed. If the
    iteration ends early, running calls are finished.

    Args:
        function: Picklable, as its arguments and results must be.
        calls: Arguments of each call, consumed lazily.
        workers: Number of processes with one thread each; 1: this process.

    Yields:
        Results in order of completion.

    Raises:
        ChildProcessError: If a process died.
    """
    if workers <= 1:
        for arguments in calls:
            yield function(*arguments)
        return
    # Forked processes hang if OpenMP threads were used before.
    context = multiprocessing.get_context('spawn')
    pool = ProcessPoolExecutor(workers, context, _start_worker)
    waiting, running = iter(calls), set[Future]()
    try:
        while True:
            for arguments in waiting:
                running.add(pool.submit(function, *arguments))
                if len(running) >= 2 * workers:
                    break
            if not running:
                break
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except BrokenProcessPool as error:
        raise ChildProcessError(
            'a worker process died, possibly out of memory; continue with '
            'fewer --workers'
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _start_worker() -> None:
    """Use one thread, and leave Ctrl-C to the parent."""
    import cv2
    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
