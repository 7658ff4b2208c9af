# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Folders of runs: nothing is replaced silently, settings stay the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aios.utils.run_folder import OtherSettingsError, begin_run

SETTINGS = dict(seed=1, size=(640, 480), items=[dict(name='a')])


def test_a_run_begins_once(tmp_path: Path):
    assert not begin_run(tmp_path / 'new', 'run.json', SETTINGS)
    assert begin_run(tmp_path / 'new', 'run.json', SETTINGS, resume=True)
    with pytest.raises(FileExistsError, match='new: not empty.*--resume'):
        begin_run(tmp_path / 'new', 'run.json', SETTINGS)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(seed=2), 'seed: then 1, now 2'),
        (dict(more=True), 'more: then None, now True'),
        (dict(size=(640, 64)), r'size\[1\]: then 480, now 64'),
        (dict(items=[]), 'number of items: then 1, now 0'),
        (dict(items=[dict(name='b')]), r"items\[0\].name: then 'a', now 'b'"),
    ],
)
def test_changed_settings_are_named(tmp_path: Path, changes, message):
    # As earlier versions wrote it.
    text = json.dumps(SETTINGS, indent=2, sort_keys=True) + '\n'
    (tmp_path / 'run.json').write_text(text)
    assert begin_run(tmp_path, 'run.json', SETTINGS, resume=True)
    now = SETTINGS | changes
    with pytest.raises(OtherSettingsError, match=message):
        begin_run(tmp_path, 'run.json', now, resume=True)
    assert begin_run(
        tmp_path, 'run.json', now, resume=True, compared=set(now) - {*changes}
    )
    assert (tmp_path / 'run.json').read_text() == text


def test_foreign_files(tmp_path: Path):
    (tmp_path / f'.run.json.{"0" * 32}.tmp').touch()  # of a killed run
    (tmp_path / '.aios.lock').touch()
    assert not begin_run(tmp_path, 'run.json', SETTINGS, resume=True)
    (tmp_path / 'run.json').rename(tmp_path / 'mine.json')
    for options in (dict(), dict(resume=True)):
        with pytest.raises(FileExistsError, match=r'no run\.json'):
            begin_run(tmp_path, 'run.json', SETTINGS, **options)


def test_overwrite_clears_only_what_a_run_made(tmp_path: Path):
    cleared: list[int] = []
    options = dict(overwrite=True, clear=lambda: cleared.append(1))
    begin_run(tmp_path, 'run.json', SETTINGS, **options)
    assert not cleared
    (tmp_path / 'run.json').write_text('{')  # damaged: is replaced, too
    begin_run(tmp_path, 'run.json', SETTINGS, **options)
    assert cleared
    assert begin_run(tmp_path, 'run.json', SETTINGS, resume=True)
