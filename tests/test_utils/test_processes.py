# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Processes end with the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time

from aios.utils import processes
from aios.utils.processes import end_with_parent

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
