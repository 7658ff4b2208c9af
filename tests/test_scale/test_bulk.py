# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Work that several processes share, and that survives their deaths.

The processes are forked, so they cost nothing; what they do is written down
in a file, one line each time somebody begins or ends an item.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from aios.apis.bulk import BulkItem, BulkRun, ItemFailure, read_states

FORK = multiprocessing.get_context('fork')
PATIENCE = 60.0


def _items(count: int) -> list[BulkItem]:
    return [BulkItem(f'v{i}', f'/videos/v{i}.mp4') for i in range(count)]


def _note(log: Path, what: str, name: str) -> None:
    with open(log, 'a') as stream:
        stream.write(f'{what} {name} {os.getpid()}\n')


def _noted(log: Path, what: str) -> list[tuple[str, int]]:
    lines = log.read_text().splitlines() if log.exists() else []
    split = [line.split() for line in lines]
    return [(name, int(pid)) for kind, name, pid in split if kind == what]


def _do_slowly(log: Path, limit: int) -> Callable[..., Mapping]:
    """Work that stops when so many items are finished."""

    def do(item: BulkItem, folder: Path) -> dict:
        _note(log, 'begin', item.name)
        time.sleep(0.1 if len(_noted(log, 'end')) < limit else 10 * PATIENCE)
        (folder / 'result.txt').write_text(item.path)
        _note(log, 'end', item.name)
        return dict(frames=len(item.name))

    return do


def _start(out: Path, log: Path, rank: int, limit: int = 99, barrier=None):
    def target() -> None:
        run = BulkRun(out, _items(12), rank=rank, size=3, poll_seconds=0.05)
        if barrier is not None:
            barrier.wait()
        run.work(_do_slowly(log, limit))

    process = FORK.Process(target=target)
    process.start()
    return process


def _wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, 'nothing happened'
        time.sleep(0.01)


def _assert_all_done(out: Path, log: Path) -> None:
    states = read_states(out)
    assert [s['state'] for s in states] == ['done'] * 12
    assert Counter(name for name, _ in _noted(log, 'end')) == {
        f'v{i}': 1 for i in range(12)
    }, 'every item exactly once'
    for item in _items(12):
        text = (out / 'results' / item.name / 'result.txt').read_text()
        assert text == item.path
    lines = (out / 'manifest.jsonl').read_text().splitlines()
    assert [json.loads(line) for line in lines] == states


def test_three_processes_share_the_work(tmp_path: Path):
    out, log = tmp_path / 'out', tmp_path / 'log'
    barrier = FORK.Barrier(3)
    processes = [_start(out, log, rank, barrier=barrier) for rank in range(3)]
    for process in processes:
        process.join(PATIENCE)
        assert process.exitcode == 0
    _assert_all_done(out, log)
    assert len({pid for _, pid in _noted(log, 'end')}) == 3
    assert len(_noted(log, 'begin')) == 12
    assert {s['worker'] for s in read_states(out)} == {0, 1, 2}
    assert read_states(out)[3]['frames'] == 2


def test_others_take_over_from_a_killed_process(tmp_path: Path):
    out, log = tmp_path / 'out', tmp_path / 'log'
    victim = _start(out, log, rank=1, limit=0)
    _wait_for(lambda: _noted(log, 'begin'))
    others = [_start(out, log, rank) for rank in (0, 2)]
    _wait_for(lambda: len(_noted(log, 'end')) >= 4)
    assert 'v4' not in {name for name, _ in _noted(log, 'end')}
    os.kill(victim.pid, signal.SIGKILL)
    for process in (victim, *others):
        process.join(PATIENCE)
    assert [p.exitcode for p in (victim, *others)] == [-9, 0, 0]
    _assert_all_done(out, log)
    begun = Counter(name for name, _ in _noted(log, 'begin'))
    assert begun == Counter(f'v{i}' for i in range(12)) + Counter(['v4'])


def test_all_killed_then_started_again(tmp_path: Path):
    out, log = tmp_path / 'out', tmp_path / 'log'
    processes = [_start(out, log, rank, limit=4) for rank in range(3)]
    _wait_for(lambda: len(_noted(log, 'end')) >= 4)
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
        process.join(PATIENCE)
    finished = {s['name'] for s in read_states(out) if s['state'] == 'done'}
    assert 0 < len(finished) < 12
    before = Counter(name for name, _ in _noted(log, 'begin'))
    again = _start(out, log, rank=0)
    again.join(PATIENCE)
    assert again.exitcode == 0
    assert {s['state'] for s in read_states(out)} == {'done'}
    since = Counter(name for name, _ in _noted(log, 'begin')) - before
    assert set(since) == {f'v{i}' for i in range(12)} - finished
    assert set(since.values()) == {1}


def test_half_written_files_are_removed(tmp_path: Path):
    folder = tmp_path / 'results/v0/inner'
    run = BulkRun(tmp_path, _items(1))
    folder.mkdir(parents=True)
    (folder / f'.run.json.{"0" * 32}.tmp').touch()
    (folder / 'part.npz').touch()
    seen: list[str] = []

    def do(item: BulkItem, folder: Path) -> dict:
        seen.extend(p.name for p in folder.rglob('*') if p.is_file())
        return {}

    run.work(do)
    assert seen == ['part.npz']


def test_failures_are_told_and_tried_again_on_request(tmp_path: Path):
    calls: list[str] = []

    def do(item: BulkItem, folder: Path) -> dict:
        calls.append(item.name)
        if item.name == 'v1':
            raise ItemFailure('v1.mp4: no frame')
        return {}

    states = BulkRun(tmp_path, _items(3)).work(do)
    assert [s['state'] for s in states] == ['done', 'failed', 'done']
    assert states[1]['error'] == 'v1.mp4: no frame'
    BulkRun(tmp_path, _items(3)).work(do)
    assert calls == ['v0', 'v1', 'v2']
    BulkRun(tmp_path, _items(3), retry_failed=True).work(do)
    assert calls == ['v0', 'v1', 'v2', 'v1']


def test_other_errors_end_the_run_and_leave_the_item(tmp_path: Path):
    def do(item: BulkItem, folder: Path) -> dict:
        raise OSError(28, 'No space left on device')

    with pytest.raises(OSError, match='No space left'):
        BulkRun(tmp_path, _items(2)).work(do)
    assert [s['state'] for s in read_states(tmp_path)] == ['todo', 'todo']
    states = BulkRun(tmp_path, _items(2)).work(lambda item, folder: {})
    assert [s['state'] for s in states] == ['done', 'done']


def test_folder_of_something_else_is_refused(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match='bulk.json'):
        read_states(tmp_path)
    (tmp_path / 'mine.txt').touch()
    with pytest.raises(FileExistsError, match='not empty'):
        BulkRun(tmp_path, _items(2))
    out = tmp_path / 'out'
    BulkRun(out, _items(2), dict(score_thr=0.3))
    with pytest.raises(ValueError, match='score_thr: then 0.3, now 0.5'):
        BulkRun(out, _items(2), dict(score_thr=0.5))
    with pytest.raises(ValueError, match='number of items: then 2, now 3'):
        BulkRun(out, _items(3), dict(score_thr=0.3))
    changed = [_items(1)[0], BulkItem('v1', 'elsewhere.mp4')]
    with pytest.raises(
        ValueError, match=r'items\[1\]\.path: then .*elsewhere'
    ):
        BulkRun(out, changed, dict(score_thr=0.3))
    with pytest.raises(ValueError, match='distinct names'):
        BulkRun(tmp_path / 'new', [*_items(1), *_items(1)])
    assert not (tmp_path / 'new').exists()
