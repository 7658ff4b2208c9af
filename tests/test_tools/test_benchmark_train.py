# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The benchmark of training steps runs, and its phases add up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from script_loader import load_script

ROOT = Path(__file__).parents[2]


def test_phases_add_up(capsys: pytest.CaptureFixture[str]):
    module = load_script('tools/analysis_tools/benchmark_train.py')
    config = str(ROOT / 'configs/aios/aios_tiny.py')
    command = [config, '--shape', '64', '64', '--repeats', '1']
    columns = module.main([*command, '--warmup', '0'])
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


def test_steps_are_timed_without_looking_closer():
    """A clock of a GPU would stop it at each phase."""
    module = load_script('tools/analysis_tools/benchmark_train.py')
    step = object.__new__(module.Step)
    step.device, step.records = 'cpu', []
    details = []

    def run(in_detail):
        details.append(in_detail)
        phases = {'– backbone': 3.0} if in_detail else {}
        return {'step': 9.0 if in_detail else 1.0, **phases}

    step._run = run
    step(in_detail=False)
    step.look_closer()
    assert details == [False, True]
    (record,) = step.records
    assert (record['step'], record['– backbone']) == (1.0, 3.0)


def test_waits_for_the_device_are_found(monkeypatch):
    module = load_script('tools/analysis_tools/benchmark_train.py')
    modes: list[str] = []
    cuda = SimpleNamespace(set_sync_debug_mode=modes.append)
    monkeypatch.setattr(module.torch, 'cuda', cuda)
    with module.waits_for_device('cuda:0') as waits:
        for _ in range(2):
            module.warnings.warn(
                'called a synchronizing CUDA operation (in x.cpp)',
                stacklevel=1,
            )
        module.warnings.warn('something else', stacklevel=1)
    assert modes == ['warn', 'default']
    assert [place.partition(':')[0] for place in waits] == [
        'test_benchmark_train.py'
    ] * 2
    with module.waits_for_device('cpu') as waits:
        assert waits is None
