# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Records of runs, damaged in every way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aios.apis.bulk import BulkItem, BulkRun, read_states
from aios.results import RunRecord
from aios.synthetic.store import DatasetFolder
from aios.utils.json_record import read_record, write_record

# What is there, and what the message says of it.
BROKEN = {
    b'': 'damaged',
    b'{"a": ': 'damaged',
    b'\xff\xfe{}': 'damaged',
    b'[' * 100_000: 'damaged',
    b'[]': 'expected an object, got list',
    b'7': 'expected an object, got int',
}


@pytest.mark.parametrize('content', BROKEN, ids=range(len(BROKEN)))
def test_damaged_files_are_named(tmp_path: Path, content: bytes):
    path = tmp_path / 'record.json'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r'record\.json: ') as error:
        read_record(path)
    assert BROKEN[content] in str(error.value)


def test_what_was_written_is_read(tmp_path: Path):
    record = dict(name='caf\udce9', numbers=[1, 2])
    write_record(tmp_path / 'record.json', record)
    assert read_record(tmp_path / 'record.json', dict(numbers=list)) == record


def test_record_of_a_run(tmp_path: Path):
    whole = RunRecord({}, {})
    whole.save(tmp_path)
    assert RunRecord.load(tmp_path) == whole
    path = tmp_path / 'run.json'
    for name, value in (
        *(('fingerprint', 3), ('presentation', []), ('folders', 'a')),
        *(('complete', 'no'), ('aios_version', None)),
    ):
        path.write_text(json.dumps(whole.__dict__ | {name: value}))
        with pytest.raises(ValueError, match=rf"run\.json: .*'{name}'"):
            RunRecord.load(tmp_path)
    path.write_text(json.dumps(whole.__dict__ | dict(folders=['.', 7])))
    with pytest.raises(ValueError, match=r'run\.json: .*folders\[1\]'):
        RunRecord.load(tmp_path)


def test_records_of_many_videos(tmp_path: Path):
    items = [BulkItem('a', 'a.mp4'), BulkItem('b', 'b.mp4')]
    BulkRun(tmp_path, items)
    status = tmp_path / 'status/000001.json'
    for content in ('{', '{"state": 3}', '{}'):
        status.write_text(content)
        for look in (
            lambda: read_states(tmp_path),
            lambda: BulkRun(tmp_path, items).work(lambda *_: {}),
        ):
            with pytest.raises(ValueError, match=r'000001\.json.* delete it'):
                look()
    status.unlink()
    path = tmp_path / 'bulk.json'
    whole = json.loads(path.read_text())
    for content, said in (
        (dict(whole, items=3), "'items'"),
        (dict(whole, items=[dict(name='a')]), r'items\[0\]'),
        (dict(whole, items=[dict(name='a', path=3)]), r'items\[0\]'),
        (dict(items=[]), "'settings'"),
    ):
        path.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=rf'bulk\.json: .*{said}'):
            read_states(tmp_path)
        with pytest.raises(ValueError, match=rf'bulk\.json: .*{said}'):
            BulkRun(tmp_path, items)


def test_settings_of_a_data_set(tmp_path: Path):
    DatasetFolder(tmp_path).open(dict(seed=1))
    (tmp_path / '.synthetic/settings.json').write_text('[1')
    with pytest.raises(ValueError, match=r'settings\.json: damaged'):
        DatasetFolder(tmp_path).open(dict(seed=1), resume=True)
