# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Processes end with the one that started them."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import time

import pytest

from aios.utils import processes
from aios.utils.processes import end_with_parent, run_in_processes

FORK = multiprocessing.get_context('fork')


def test_a_process_ends_with_its_parent(monkeypatch) -> None:
    monkeypatch.setattr(processes, '_SECONDS', 0.05)
    ready, number = FORK.Event(), FORK.Value('i', 0)
    lives, writes = os.pipe()  # ends when nobody can write to it

    def child() -> None:
        end_with_parent()
        number.value = os.getpid()
        ready.set()
        time.sleep(600)

    def parent() -> None:
        FORK.Process(target=child).start()
        time.sleep(600)

    process = FORK.Process(target=parent)
    process.start()
    os.close(writes)
    assert ready.wait(30)
    time.sleep(0.2)
    os.kill(number.value, 0)  # is there
    process.kill()
    process.join()
    os.set_blocking(lives, False)
    end = time.monotonic() + 30
    try:
        while True:
            try:
                ended = os.read(lives, 1) == b''
            except BlockingIOError:
                ended = False
            if ended or time.monotonic() > end:
                break
            time.sleep(0.05)
        assert ended
    finally:
        os.close(lives)
        if not ended:
            os.kill(number.value, signal.SIGKILL)


def test_calls_in_this_process() -> None:
    calls = run_in_processes(pow, [(2, 3), (3, 2)], 1)
    assert list(calls) == [8, 9]


def test_calls_in_processes(monkeypatch) -> None:
    # Others would import PyTorch, each of them.
    monkeypatch.setattr(multiprocessing, 'get_context', lambda _: FORK)
    monkeypatch.setattr(processes, '_start_worker', end_with_parent)
    assert sorted(run_in_processes(pow, ((i, 2) for i in range(9)), 2)) == [
        i**2 for i in range(9)
    ]
    with pytest.raises(ValueError, match='negative'):
        list(run_in_processes(math.factorial, [(-1,)], 2))
    with pytest.raises(ChildProcessError, match='fewer --workers'):
        list(run_in_processes(os._exit, [(3,)], 2))
