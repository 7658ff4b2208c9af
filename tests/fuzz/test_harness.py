# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The harness notices what it is there to notice."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from fuzz.harness import CANARY, Reader, make_cases, run_cases


def _unclear(path: Path) -> None:
    raise KeyError('betas')


def _refuse(path: Path) -> None:
    raise ValueError(f'{path}: no')


@pytest.mark.parametrize(
    ('read', 'end'),
    [
        (lambda path: None, 'read'),
        (_refuse, 'refused'),
        (_unclear, 'unclear'),
        (lambda path: np.ones(1 << 28), 'memory'),
        (lambda path: time.sleep(60), 'hang'),
        (lambda path: sum(range(10**10)), 'hang'),
        (lambda path: os.abort(), 'crash'),
        (lambda path: os.system('true'), 'executed'),
        (lambda path: path.with_name(CANARY).touch(), 'executed'),
    ],
)
def test_ends(tmp_path: Path, monkeypatch, read, end: str) -> None:
    monkeypatch.setattr('fuzz.harness.SECONDS', 0.5)
    monkeypatch.setattr('fuzz.harness.PATIENCE', 3.0)
    reader = Reader('toy', 'a.txt', 'text', lambda x, p: p.write_text(x), read)
    first, second = run_cases(reader, make_cases(reader, tmp_path / 'x', 2))
    assert first.end == second.end == end  # it goes on after each
    assert first.path != second.path
