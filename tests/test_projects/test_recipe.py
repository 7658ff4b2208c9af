# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The recipe of the free model, with a stand-in for Python."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from script_loader import ROOT

# Fetches a part of the panoramas and fails, unless `npm_works` exists.
PYTHON = """#!/usr/bin/env bash
echo "$@" >> "$LOG"
case $1 in
*fetch_panoramas.py)
    mkdir -p "$2/train"
    [ -e npm_works ] || exit 1
    touch "$2/train/a.hdr"
    ;;
esac
"""


@pytest.mark.skipif(os.name == 'nt', reason='a bash script')
def test_interrupted_downloads_are_repeated(tmp_path: Path, monkeypatch):
    python, log = tmp_path / 'python', tmp_path / 'log'
    python.write_text(PYTHON.replace('npm_works', f'{tmp_path}/npm_works'))
    python.chmod(0o755)
    monkeypatch.setenv('PYTHON', str(python))
    monkeypatch.setenv('LOG', str(log))
    state = tmp_path / 'state'
    state.mkdir()
    (state / 'movenet.safetensors').touch()
    command = ['bash', str(ROOT / 'projects/free_model/recipe.sh'), 'state']

    assert subprocess.run(command, cwd=tmp_path).returncode == 1
    assert len(log.read_text().splitlines()) == 1
    (tmp_path / 'npm_works').touch()
    subprocess.run(command, cwd=tmp_path, check=True)
    assert (state / 'panoramas/train/a.hdr').exists()
    second = log.read_text().splitlines()[1:]
    assert 'fetch_panoramas.py' in second[0]
    assert f'make_synthetic_dataset.py {state}/train/100' in second[1]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert log.read_text().count('fetch_panoramas.py') == 2
