# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The report of a GPU survives steps that fail."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest
from script_loader import load_script

ROOT = Path(__file__).parents[2]
PYTHON = """#!/usr/bin/env bash
case "$*" in
    '- '* | *collect_env) exit ;;
    *inductor*) echo 'no such compiler' >&2; exit 3 ;;
    *cudagraphs*) sleep 60 ;;
esac
echo '| a |'
"""


@pytest.fixture(scope='module')
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp('report')
    python = folder / 'python'
    python.write_text(PYTHON)
    python.chmod(0o755)
    subprocess.run(
        [
            'bash',
            'tools/analysis_tools/gpu_report.sh',
            str(folder / 'new/r.md'),
        ],
        cwd=ROOT,
        env=os.environ | dict(PYTHON=str(python), STEP_SECONDS='0.5'),
        check=True,
        capture_output=True,
    )
    return (folder / 'new/r.md').read_text()


def test_a_step_that_fails_or_hangs_stops_no_other(report: str):
    blocks = [block.strip() for block in report.split('```shell')[1:]]
    failed = {x.partition('```')[0]: x for x in blocks if 'Failed' in x}
    assert len(failed) == 4
    for command, block in failed.items():
        status = '3' if 'inductor' in command else '124'
        assert f'Failed (exit status {status})' in block
        assert ('no such compiler' in block) == ('inductor' in command)
    assert sum('| a |' in block for block in blocks) == len(blocks) - 4 == 7


def test_commands_are_those_of_the_benchmarks(report: str):
    for block in report.split('```shell')[1:]:
        words = shlex.split(block.partition('```')[0])
        assert words.pop(0) == 'python'
        if words[0] == '-m':
            paths = [x.partition('::')[0] for x in words if 'tests/' in x]
            assert paths and all((ROOT / path).is_file() for path in paths)
            continue
        args = load_script(words[0]).parse_args(words[1:])
        assert args.device == 'cuda'
