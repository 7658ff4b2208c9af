# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Runs that keep out of each other's way."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from pathlib import Path

import pytest

from aios.utils import locking
from aios.utils.locking import (
    FolderInUseError,
    file_lock,
    folder_lock,
    is_occupied,
)

FORK = multiprocessing.get_context('fork')


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking, '_PATIENCE', 0.0)


def test_two_runs_keep_out_of_a_folder(tmp_path: Path):
    folder = tmp_path / 'new/run'
    with folder_lock(folder):
        assert not is_occupied(folder)
        with (
            pytest.raises(FolderInUseError, match=f'{folder}: another run'),
            folder_lock(folder),
        ):
            pass
        (folder / 'result').touch()
        assert is_occupied(folder)
    with folder_lock(folder):
        pass
    assert [path.name for path in folder.iterdir()] == ['result']


def test_a_new_folder_that_stays_empty_goes(tmp_path: Path):
    with folder_lock(tmp_path / 'new'):
        pass
    with folder_lock(tmp_path):
        pass
    assert [*tmp_path.iterdir()] == []


def test_a_file_is_no_folder(tmp_path: Path):
    path = tmp_path / 'file'
    path.write_text('mine')
    with pytest.raises(NotADirectoryError), folder_lock(path):
        pass
    assert path.read_text() == 'mine'


def test_links_are_not_followed(tmp_path: Path):
    target, link = tmp_path / 'target', tmp_path / 'link.lock'
    target.write_text('mine')
    link.symlink_to(target)
    with pytest.raises(OSError, match=r'link\.lock'), file_lock(link):
        pass
    assert target.read_text() == 'mine'


def test_a_killed_process_has_no_lock(tmp_path: Path):
    """Not even through its own workers, which live on a moment."""
    path, ready = tmp_path / 'a.lock', FORK.Event()
    worker = FORK.Value('i', 0)

    def hold() -> None:
        with file_lock(path):
            child = FORK.Process(target=signal.pause)
            child.start()
            worker.value = child.pid
            ready.set()
            signal.pause()

    process = FORK.Process(target=hold)
    process.start()
    assert ready.wait(30)
    with file_lock(path, 0) as mine:
        assert not mine
    os.kill(process.pid, signal.SIGKILL)
    process.join()  # with a time it would wait for the worker too
    try:
        with file_lock(path, 0) as mine:
            assert mine
    finally:
        os.kill(worker.value, signal.SIGKILL)


def test_one_of_many_waiters_at_a_time(tmp_path: Path):
    """The holder removes the file; nobody may lock the removed one."""
    path, inside, seen = tmp_path / 'a.lock', [], []

    def work() -> None:
        for _ in range(5):
            with file_lock(path) as mine:
                assert mine
                inside.append(1)
                seen.append(len(inside))
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 20
    assert not path.exists()


def test_without_locks_all_persons_works(tmp_path: Path, monkeypatch):
    """As on Windows."""
    monkeypatch.setattr(locking, 'fcntl', None)
    with folder_lock(tmp_path), folder_lock(tmp_path):
        assert [*tmp_path.iterdir()] == []
