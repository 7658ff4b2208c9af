# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The report of a GPU survives steps that fail, and writes its tables."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from script_loader import load_script

ROOT = Path(__file__).parents[2]
PAGE = 'before\n<!-- gpu report -->\nold\n<!-- end of gpu report -->\nafter\n'


@pytest.fixture(scope='module')
def module() -> Any:
    return load_script('tools/analysis_tools/gpu_report.py')


def arguments(module: Any, folder: Path, *words: str) -> Any:
    return module.parse_args(
        ['--device', 'cpu', '--json', str(folder / 'new/report.json'), *words]
    )


def test_a_step_that_fails_stops_no_other(module, tmp_path, monkeypatch):
    save = 'import sys; open(sys.argv[2], "w").write("[1]"); print("|table|")'
    steps = [
        module.Step('broken', 'A', '-c "import aios.no_such_module"'),
        module.Step('fails', 'C', '-c "print(1 / 0)"', False),
        module.Step('works', 'D', f"-c '{save}'"),
    ]
    monkeypatch.setattr(module, 'make_steps', lambda *_: steps)
    monkeypatch.setattr(module, 'describe_machine', lambda _: 'a machine')
    args = arguments(module, tmp_path)
    report = module.measure(args)
    assert json.loads(args.json.read_text()) == report
    states = {step['name']: step['status'] for step in report['steps']}
    assert states == {
        'broken': 'failed',
        'fails': 'failed',
        'works': 'done',
    }
    broken, fails, works = report['steps']
    assert "No module named 'aios.no_such_module'" in broken['reason']
    assert 'ZeroDivisionError' in fails['output']
    assert works['numbers'] == [1]


def test_a_step_that_hangs_is_stopped(module):
    """With the processes that it started; what it said is kept."""
    code = (
        "import os; child = os.spawnlp(os.P_NOWAIT, 'sleep', 'sleep', '60'); "
        'print(child, flush=True); os.wait()'
    )
    step = module.Step('hangs', 'A', f'-S -c "{code}"', False)
    record = module.run_step(step, {}, 0.9)
    assert (record['status'], record['reason']) == (
        'failed',
        'stopped after 0.9 s',
    )
    state = Path('/proc', record['output'].strip(), 'stat')
    assert not state.exists() or state.read_text().split()[2] == 'Z'


def test_no_step_begins_when_time_is_up(module, tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'describe_machine', lambda _: 'a machine')
    monkeypatch.setattr(
        module.subprocess, 'Popen', lambda *_, **__: pytest.fail('it began')
    )
    report = module.measure(arguments(module, tmp_path, '--minutes', '0'))
    assert len(report['steps']) > 5
    assert {x['reason'] for x in report['steps']} == {'no time was left'}


def test_the_fastest_kernel_is_used_afterwards(module):
    rows = [
        {'kernel': 'mmcv (torch), float32', 'both wall': 1.0},
        {'kernel': 'numba, float32', 'both wall': 3.0},
        {'kernel': 'grid_sample, float32', 'both wall': 2.0},
        {'kernel': 'numba, bfloat16', 'both wall': 1.0},
    ]
    assert module.fastest_kernel(rows, 'cpu') == 'grid_sample'
    assert module.fastest_kernel(rows[:1], 'cpu') is None


def test_tables_take_their_place_in_a_page(module, tmp_path):
    page = tmp_path / 'page.md'
    page.write_text(PAGE)
    step = dict(
        title='Speed', command='python x.py', reason='', output='| a |\nlast'
    )
    report = dict(
        machine='a machine',
        steps=[
            {**step, 'name': 'one', 'status': 'done', 'numbers': [1]},
            {**step, 'name': 'two', 'status': 'done', 'numbers': None},
            {**step, 'name': 'three', 'status': 'failed', 'reason': 'broken'},
        ],
    )
    source = tmp_path / 'report.json'
    source.write_text(json.dumps(report))
    module.main(['--tables-of', str(source), '--page', str(page)])
    text = page.read_text()
    assert text.startswith('before\n<!-- gpu report -->\na machine:\n')
    assert text.endswith('\n<!-- end of gpu report -->\nafter\n')
    assert 'old' not in text
    assert (
        '<!-- suite: one -->\n```shell\npython x.py\n```\n\n| a |\nlast\n\n'
        '<!-- end of suite -->'
    ) in text
    assert '```\n\nlast\n' in text
    assert 'Failed: broken' in text
    module.main(['--tables-of', str(source), '--page', str(page)])
    assert page.read_text() == text, 'written again in the same place'


def test_a_page_without_a_place_is_refused(module, tmp_path):
    page = tmp_path / 'page.md'
    page.write_text('nothing')
    with pytest.raises(ValueError, match='page.md: expected one <!-- gpu rep'):
        module.write_page(page, dict(machine='', steps=[]))
    assert page.read_text() == 'nothing'
    with pytest.raises(SystemExit):
        module.parse_args(['--tables-of', 'report.json'])


def test_the_documentation_has_the_place(module, tmp_path):
    page = tmp_path / 'page.md'
    page.write_text((ROOT / 'docs/en/benchmarks.md').read_text())
    module.write_page(page, dict(machine='a machine', steps=[]))
    assert 'a machine:' in page.read_text()


@pytest.mark.parametrize('short', [False, True])
def test_commands_are_those_of_the_benchmarks(module, short):
    for step in module.make_steps('cuda', short):
        script, *options = module.shlex.split(step.command)
        if not step.has_numbers:
            paths = [word.partition('::')[0] for word in options]
            tests = [word for word in paths if word.startswith('tests/')]
            assert tests
            assert all((ROOT / path).is_file() for path in tests)
            continue
        args = load_script(script).parse_args([*options, '--json', 'x'])
        assert args.device == 'cuda'


@pytest.mark.slow
def test_every_step_works_on_a_cpu(tmp_path):
    page, report = tmp_path / 'page.md', tmp_path / 'report.json'
    page.write_text(PAGE)
    subprocess.run(
        [
            *(sys.executable, 'tools/analysis_tools/gpu_report.py'),
            *('--device', 'cpu', '--short', '--json', str(report)),
            *('--minutes', '30', '--step-seconds', '600'),
            *('--page', str(page)),
        ],
        cwd=ROOT,
        check=True,
    )
    steps = json.loads(report.read_text())['steps']
    assert {step['name']: step['reason'] for step in steps} == dict.fromkeys(
        [
            *('gpu-tests', 'gpu-msda', 'gpu-aios-s', 'gpu-forward-float32'),
            *('gpu-training-float32', 'gpu-compiled-float32'),
        ],
        '',
    )
    text = page.read_text()
    assert text.count('<!-- suite: ') == 5
    assert 'mmengine - INFO' not in text, 'nothing but tables'
    assert 'AIOS_MSDA_KERNEL=' in steps[-1]['command']


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
        'test_gpu_report.py'
    ] * 2
    with module.waits_for_device('cpu') as waits:
        assert waits is None
