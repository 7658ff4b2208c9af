# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The benchmark of training steps runs, and its phases add up."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_phases_add_up(capsys: pytest.CaptureFixture[str]):
    path = ROOT / 'tools/analysis_tools/benchmark_train.py'
    spec = importlib.util.spec_from_file_location('benchmark_train', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = str(ROOT / 'configs/aios/aios_tiny.py')
    columns = module.main(
        [config, '--shape', '64', '64', '--repeats', '1', '--warmup', '0']
    )
    column = dict(columns[config])
    del column['median step'], column[module.MEMORY]
    step = column.pop('step')
    assert 0.5 * step < sum(column.values()) <= step
    assert min(column['– criterion'], column['– backward']) > 0
    assert '| – backward |' in capsys.readouterr().out
