# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The benchmark of matching compares like with like."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from script_loader import load_script

from aios.models.task_modules import BatchHungarianAssigner

ROOT = Path(__file__).parents[2]
ARGUMENTS = ['--config', str(ROOT / 'configs/aios/aios_tiny.py')]
ARGUMENTS += ['--images', '1', '3', '--people', '4', '--repeats', '1']


@pytest.fixture
def tool() -> ModuleType:
    return load_script('tools/analysis_tools/benchmark_matcher.py')


def test_both_ways_choose_the_same(tool, capsys: pytest.CaptureFixture[str]):
    table = tool.main(ARGUMENTS)
    assert list(table) == [1, 3]
    assert capsys.readouterr().out.count('| equal |') == 2


def test_a_difference_is_an_error(tool, monkeypatch: pytest.MonkeyPatch):
    assign = BatchHungarianAssigner.assign

    def wrong(self, outputs, targets):
        first, *others = assign(self, outputs, targets)
        first.candidates[0] += 1
        return [first, *others]

    monkeypatch.setattr(BatchHungarianAssigner, 'assign', wrong)
    with pytest.raises(SystemExit, match='1 images: the pairs differ'):
        tool.main(ARGUMENTS)
