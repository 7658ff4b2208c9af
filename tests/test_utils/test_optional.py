# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Packages that may be missing, or be broken."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from aios.utils.optional import can_import


@pytest.mark.parametrize(
    ('content', 'reason'),
    [
        ('raise RuntimeError("needs another numpy")', 'needs another numpy'),
        ('import a_part_that_is_not_there', 'a_part_that_is_not_there'),
    ],
)
def test_why_a_package_fails_is_logged_once(
    content: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    (tmp_path / 'broken_accelerator.py').write_text(content)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(
        'mmengine.logging.print_log',
        lambda text, logger, level: logging.log(level, text),
    )
    can_import.cache_clear()
    assert not can_import('broken_accelerator')
    assert not can_import('broken_accelerator')
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert 'broken_accelerator is installed' in record.getMessage()
    assert reason in record.getMessage()


def test_what_is_not_installed_is_no_news(capsys: pytest.CaptureFixture):
    assert not can_import('an_accelerator_that_nobody_has')
    assert can_import('json')
    assert capsys.readouterr().out == ''
