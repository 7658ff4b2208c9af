# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The shell scripts: what they start, and what they say without arguments."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[2] / 'tools'


def _run(script: str, *args: str, **variables: str):
    return subprocess.run(
        ['bash', str(TOOLS / script), *args],
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python and srun that print their arguments, one per line."""
    for name in ('python', 'srun'):
        path = tmp_path / 'bin' / name
        path.parent.mkdir(exist_ok=True)
        path.write_text('#!/bin/sh\nprintf "%s\\n" "$0" "$@"\n')
        path.chmod(0o755)
    path = f'{tmp_path / "bin"}{os.pathsep}{os.environ["PATH"]}'
    monkeypatch.setenv('PATH', path)
    monkeypatch.setenv('PYTHON', 'python')


@pytest.mark.parametrize(
    ('script', 'args', 'usage'),
    [
        ('dist_train.sh', ['config.py'], 'CONFIG PROCESSES'),
        ('dist_train.sh', ['config.py', '--amp'], 'CONFIG PROCESSES'),
        ('dist_test.sh', ['config.py', '8'], 'CONFIG CHECKPOINT PROCESSES'),
        ('slurm_train.sh', ['a', 'b', 'c'], 'PARTITION JOB CONFIG WORK_DIR'),
        ('slurm_test.sh', [], 'PARTITION JOB CONFIG CHECKPOINT'),
    ],
)
def test_usage(script: str, args: list[str], usage: str):
    result = _run(script, *args)
    assert result.returncode == 2
    assert usage in result.stderr


def _passed_on(lines: list[str], tool: str) -> list[str]:
    """Arguments of the tool that a script starts."""
    return lines[lines.index(str(TOOLS / tool)) + 1 :]


@pytest.mark.usefixtures('programs')
class TestStart:
    def lines(self, *command: str, **variables: str) -> list[str]:
        result = _run(*command, **variables)
        assert result.returncode == 0, result.stderr
        return result.stdout.splitlines()

    def test_train_on_one_machine(self):
        lines = self.lines(
            *('dist_train.sh', 'my config.py', '4', '--resume'),
            *('--cfg-options', 'a=b c'),
        )
        assert '--standalone' in lines
        assert '--nproc-per-node=4' in lines
        assert _passed_on(lines, 'train.py') == [
            *('my config.py', '--launcher', 'pytorch', '--resume'),
            *('--cfg-options', 'a=b c'),
        ]

    def test_two_machines(self):
        lines = self.lines(
            *('dist_test.sh', 'config.py', 'weights.pth', '8'),
            NNODES='2',
            NODE_RANK='1',
            MASTER_ADDR='10.1.1.1',
        )
        for option in (
            '--nnodes=2',
            '--node-rank=1',
            '--master-addr=10.1.1.1',
            '--master-port=29500',
        ):
            assert option in lines
        passed_on = _passed_on(lines, 'test.py')
        assert passed_on[:2] == ['config.py', 'weights.pth']

    def test_slurm(self):
        lines = self.lines(
            *('slurm_train.sh', 'gpu', 'job', 'config.py', 'out', '--amp'),
            GPUS='4',
            SRUN_ARGS='--quotatype=auto --exclusive',
        )
        assert lines[0].endswith('srun')
        for option in (
            '--ntasks=4',
            '--ntasks-per-node=4',
            '--gres=gpu:4',
            '--quotatype=auto',
            '--exclusive',
        ):
            assert option in lines
        assert _passed_on(lines, 'train.py') == [
            *('config.py', '--work-dir', 'out', '--amp'),
            *('--launcher', 'slurm'),
        ]
