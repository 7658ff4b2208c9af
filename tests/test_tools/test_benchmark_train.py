# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The benchmark of training steps runs, and its phases add up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from script_loader import load_script

ROOT = Path(__file__).parents[2]


def test_phases_add_up(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    module = load_script('tools/analysis_tools/benchmark_train.py')
    config = str(ROOT / 'configs/aios/aios_tiny.py')
    path = tmp_path / 'numbers.json'
    command = [config, '--shape', '64', '64', '--repeats', '1']
    columns = module.main([*command, '--warmup', '0', '--json', str(path)])
    assert json.loads(path.read_text()) == columns
    column = dict(columns['aios_tiny'])
    del column['median step'], column[module.MEMORY]
    step = column.pop('step')
    assert 0.5 * step < sum(column.values()) <= step
    assert min(column['– criterion'], column['– backward']) > 0
    assert '| – backward |' in capsys.readouterr().out


def test_sides_of_a_table(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    module = load_script('tools/analysis_tools/benchmark_train.py')
    config = ROOT / 'configs/aios/aios_tiny.py'
    twice = tmp_path / 'twice.py'
    twice.write_text(
        f'_base_ = [{str(config)!r}]\n'
        'model = dict(encoder=dict(num_cp=1), decoder=dict(num_cp=1))\n'
    )
    third = tmp_path / 'third.py'
    third.write_text(f'_base_ = [{str(config)!r}]\n')
    command = [str(config), '--shape', '64', '64', '--repeats', '1']
    columns = module.main(
        [*command, '--warmup', '0', '--compare', str(twice), str(third)]
    )
    sides = ['aios_tiny', 'twice, activations computed twice', 'third']
    assert list(columns) == sides
    printed = capsys.readouterr().out
    assert f'| {" | ".join(sides)} | ratio, 1 | ratio, 2 |' in printed
    assert 'ratios to the last' in printed
    with pytest.raises(SystemExit, match='twice'):
        module.main([*command, '--compare', str(config)])
