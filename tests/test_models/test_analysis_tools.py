# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The tools that measure models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mmengine.registry import DefaultScope
from script_loader import load_script

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / 'configs/aios/aios_tiny.py')


def load_tool(name):
    return load_script(f'tools/analysis_tools/{name}.py')


@pytest.fixture(scope='module')
def benchmark():
    return load_tool('benchmark')


def rows_of(text):
    """Cells by title of the rows of a Markdown table."""
    rows = [line.strip('|').split('|') for line in text.splitlines()]
    return {
        row[0].strip(): [cell.strip() for cell in row[1:]]
        for row in rows
        if len(row) > 1
    }


def current_scope():
    # By name: overwriting a scope for a while leaves a new instance of it.
    scope = DefaultScope.get_current_instance()
    return scope and scope.scope_name


def test_benchmark(benchmark, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, 'MATRIX_SIZE', 64)
    scope = current_scope()
    # fmt: off
    benchmark.main([
        TINY, '--compare', TINY, '--shape', '64', '96', '--repeats', '2',
        '--warmup', '0',
        '--batch-sizes', '1', '2', '--json', str(tmp_path / 'out.json'),
    ])
    # fmt: on
    rows = rows_of(capsys.readouterr().out)
    assert rows['batch size 1'] == [
        'aios_tiny',
        'aios_tiny, as built',
        'ratio',
    ]
    results = json.loads((tmp_path / 'out.json').read_text())
    assert [result['batch_size'] for result in results] == [1, 1, 2, 2]
    for result in results:
        assert len(result['seconds']) == 2
        for total, phases in zip(
            result['seconds'], result['phases'], strict=True
        ):
            assert {'backbone', 'encoder', 'decoder', 'SMPL-X'} < set(phases)
            assert 0 < sum(phases.values()) <= total * 1.001
    assert current_scope() == scope


def test_benchmark_video(capsys):
    load_tool('benchmark_video').main(
        [TINY, '--frames', '2', '--size', '128x96', '--persons', '3']
    )
    printed = capsys.readouterr().out
    assert '2 frames' in printed and 'frames/s' in printed
    rows = rows_of(printed)
    for name in ('read and prepare', 'network', 'draw and write'):
        processor, waits = map(float, rows[name])
        assert processor > 0 and waits >= 0
    assert float(rows['all threads'][0]) > float(rows['network'][0]) / 2


def test_get_flops(capsys):
    get_flops = load_tool('get_flops')
    get_flops.main([TINY, '--shape', '64', '96'])
    small = rows_of(capsys.readouterr().out)
    get_flops.main([TINY, '--shape', '192', '288', '--compare', TINY])
    large = rows_of(capsys.readouterr().out)
    assert small['parameters'] == large['parameters'][:1]
    assert large['parameters'][0] == large['parameters'][1]

    def number(rows, name):
        return float(rows[name][0].removesuffix(' G'))

    phases = [name for name in large if name in get_flops.PHASES]
    total = sum(number(large, name) for name in phases)
    assert total == pytest.approx(number(large, 'multiply-adds'), abs=0.5)
    assert number(large, 'encoder') > number(small, 'encoder')


def test_get_flops_of_several(capsys, tmp_path):
    """One per row; what cannot be built is said there."""
    get_flops = load_tool('get_flops')
    lacking = tmp_path / 'lacking.py'
    lacking.write_text(
        "custom_imports = dict(imports=['no_such_pack.models'])"
    )
    options = ['--cfg-options', 'model.num_queries=100']
    get_flops.main(
        [TINY, '--compare', str(lacking), TINY, '--shape', '64', '96']
        + options
    )
    rows = rows_of(capsys.readouterr().out)
    titles = rows['']
    assert titles == ['parameters', 'multiply-adds', *get_flops.PHASES]
    assert rows['lacking'][:2] == ['needs no_such_pack', '–']
    assert len(rows['aios_tiny']) == len(titles)
    assert rows['aios_tiny'][0].endswith(' M')
    with pytest.raises(ImportError):
        get_flops.missing_package(ImportError('broken'))
