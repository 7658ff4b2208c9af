# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The benchmark of attention kernels prints what it is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from script_loader import load_script

SCRIPT = 'tools/analysis_tools/benchmark_msda.py'
SMALL = ['--size', '64x64', '--repeats', '1', '--threads', '1']


def rows_of(text: str) -> dict[str, list[str]]:
    """Cells by the title of their row."""
    rows = [line.strip('|').split('|') for line in text.splitlines()]
    return {
        row[0].strip(): [cell.strip() for cell in row[1:]]
        for row in rows
        if len(row) > 1
    }


def test_time_memory_and_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    path = tmp_path / 'numbers.json'
    threads = torch.get_num_threads()
    try:
        load_script(SCRIPT).main(
            [
                *(*SMALL, '--json', str(path)),
                *('--kernels', 'numba', 'grid_sample'),
            ]
        )
    finally:
        torch.set_num_threads(threads)
    rows = rows_of(capsys.readouterr().out)
    assert list(rows)[2:] == ['mmcv (torch)', 'numba', 'grid_sample']
    assert rows['kernel'] == [
        *('forward CPU', 'forward wall', 'both CPU', 'both wall'),
        *('forward MiB', 'both MiB', 'error'),
    ]
    for row in list(rows.values())[2:]:
        assert len(row) == len(rows['kernel'])
        assert float(row[-1]) < 1e-4
    numbers = json.loads(path.read_text())
    assert [row.pop('kernel') for row in numbers] == list(rows)[2:]
    assert all(list(row) == sorted(rows['kernel']) for row in numbers)
    assert all(
        min(row['both wall'], row['forward wall']) > 0 for row in numbers
    )


def test_a_kernel_that_fails_does_not_hide_the_others():
    module = load_script(SCRIPT)

    def works(value, shapes, *samples):
        return value.sum() + sum(x.sum() for x in samples)

    def fails(*_):
        raise NotImplementedError('no such instruction')

    inputs = [torch.ones(2)] * 3
    cases = {k.__name__: module.Case(k, [], inputs) for k in (fails, works)}
    broken = module.drop_broken(cases)
    assert list(cases) == ['works']
    assert broken == {'fails': 'NotImplementedError: no such instruction'}
    with pytest.raises(RuntimeError, match='all kernels fail.*instruction'):
        module.drop_broken({'fails': module.Case(fails, [], inputs)})


@pytest.mark.parametrize(
    ('options', 'code'),
    [
        (['--size', '64'], 2),
        (['--size', '0x64'], 2),
        (['--device', 'toaster'], r'error: .*toaster'),
    ],
)
def test_wrong_options_end_in_one_line(options, code):
    with pytest.raises(SystemExit, match=str(code)):
        load_script(SCRIPT).main(options)
