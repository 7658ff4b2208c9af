# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Memory-mapped labels: shared, never stale, never half-written."""

from __future__ import annotations

import multiprocessing
import os

import numpy as np
import pytest

from aios.datasets import LabelStore
from aios.datasets.label_options import LabelTable
from aios.utils.safe_io import remove_half_written


@pytest.fixture
def source(tmp_path):
    """A file to make labels of."""
    path = tmp_path / 'source.npz'
    path.write_bytes(b'content')
    return path


class Builder:
    """Counts how often it is asked for labels."""

    def __init__(self, value=0.0):
        self.calls = 0
        self.value = value

    def __call__(self):
        self.calls += 1
        rows = np.full((5, 3), self.value, np.float32)
        return LabelTable(
            {'points': rows, 'empty': np.zeros((0, 4))}, {'body': 'smplx'}
        )


def test_built_once_then_mapped(source):
    build = Builder(2.0)
    first = LabelStore.open(source, {'a': 1}, build)
    second = LabelStore.open(source, {'a': 1}, build)
    assert build.calls == 1
    assert first.folder == second.folder
    assert second.info == {'body': 'smplx'}
    assert isinstance(second['points'], np.memmap)
    assert not second['points'].flags.writeable
    assert second['empty'].shape == (0, 4)
    assert 'points' in second
    assert 'absent' not in second
    with pytest.raises(KeyError, match='absent'):
        second['absent']


def test_rows_are_a_private_copy(source):
    store = LabelStore.open(source, {}, Builder(2.0))
    rows = store.rows('points', 1, 3)
    rows[:] = 7
    assert type(rows) is np.ndarray
    assert (store['points'] == 2).all()


def test_changed_source_or_options_are_noticed(source):
    LabelStore.open(source, {'a': 1}, Builder(1.0))
    other = LabelStore.open(source, {'a': 2}, Builder(2.0))
    assert other['points'][0, 0] == 2
    stat = source.stat()
    source.write_bytes(b'CONTENT')  # same size
    os.utime(source, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # same time
    fresh = LabelStore.open(source, {'a': 1}, Builder(3.0))
    assert fresh['points'][0, 0] == 3
    # Both stores of the earlier state are gone.
    assert list(fresh.folder.parent.glob('*.labels')) == [fresh.folder]
    source.write_bytes(b'CONTENT')
    os.utime(source, ns=(1, 1))
    later = LabelStore.open(source, {'a': 1}, Builder(4.0))
    assert later['points'][0, 0] == 4


def test_code_version_is_part_of_the_name(source, monkeypatch):
    old = LabelStore.open(source, {}, Builder(1.0))
    monkeypatch.setattr('aios.datasets.label_store.STORE_VERSION', 1000)
    new = LabelStore.open(source, {}, Builder(2.0))
    assert new['points'][0, 0] == 2
    assert not old.folder.exists()
    # Earlier code in another environment leaves it alone.
    monkeypatch.setattr('aios.datasets.label_store.STORE_VERSION', -1)
    assert LabelStore.open(source, {}, Builder(3.0))['points'][0, 0] == 3
    assert new.folder.exists()


def test_failed_build_leaves_nothing(source):
    def broken():
        return LabelTable({'bad': np.array([object()])})

    with pytest.raises(ValueError, match='[Oo]bject'):
        LabelStore.open(source, {}, broken)
    assert list((source.parent / '.aios_cache').glob('*.labels')) == []
    assert list((source.parent / '.aios_cache').glob('.*.tmp')) == []
    store = LabelStore.open(source, {}, Builder(1.0))
    assert store['points'].shape == (5, 3)


def test_folders_of_killed_processes_are_removed(source):
    root = source.parent / '.aios_cache'
    old, new = (
        root / f'.source-0.labels.{letter * 32}.tmp' for letter in 'ab'
    )
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / 'points.npy').write_bytes(b'half')
    os.utime(old, (1, 1))
    LabelStore.open(source, {}, Builder())
    assert not old.exists()
    assert new.exists()  # another process may be writing it
    remove_half_written(source.parent, recursive=True)
    assert (new / 'points.npy').exists()


@pytest.mark.parametrize('name', ['points.npy', 'empty.npy', 'meta.json'])
@pytest.mark.parametrize('content', [None, b'', b'hello', b'\x93NUMPY\x01'])
def test_damaged_stores_are_made_again(source, name, content):
    folder = LabelStore.open(source, {}, Builder(1.0)).folder
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    build = Builder(2.0)
    store = LabelStore.open(source, {}, build)
    assert (store['points'] == 2).all() and 'empty' in store
    assert LabelStore.open(source, {}, build).folder == folder
    assert build.calls == 1


def _open(source, barrier, results):
    barrier.wait()
    store = LabelStore.open(source, {}, Builder(1.0))
    results.put(float(store['points'].sum()))


def test_many_processes_at_once(source):
    context = multiprocessing.get_context('fork')
    barrier, results = context.Barrier(4), context.Queue()
    workers = [
        context.Process(target=_open, args=(source, barrier, results))
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    sums = [results.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()
    assert sums == [15.0] * 4
    names = os.listdir(source.parent / '.aios_cache')
    assert len([n for n in names if not n.endswith('.lock')]) == 1


def test_folders(source, tmp_path, monkeypatch):
    chosen = LabelStore.open(source, {}, Builder(), tmp_path / 'here')
    assert chosen.folder.parent == tmp_path / 'here'
    blocked = tmp_path / '.aios_cache'
    blocked.write_text('a file, not a folder')
    monkeypatch.setenv('AIOS_CACHE', str(tmp_path / 'user'))
    assert (
        LabelStore.open(source, {}, Builder()).folder.parent
        == tmp_path / 'user' / 'labels'
    )
    with pytest.raises(OSError, match='set cache_dir'):
        LabelStore.open(source, {}, Builder(), blocked / 'below')


def test_user_without_home(source, monkeypatch):
    """As in containers; the user's cache is not needed."""
    monkeypatch.delenv('AIOS_CACHE', raising=False)
    monkeypatch.delenv('HOME', raising=False)
    monkeypatch.setattr(os.path, 'expanduser', lambda path: path)
    store = LabelStore.open(source, {}, Builder())
    assert store.folder.parent == source.parent / '.aios_cache'
