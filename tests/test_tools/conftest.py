# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Fixtures that run the tools, in this process or in others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from mmengine.runner import loops
from script_loader import load_main
from torch.utils.data import _utils as data_loading

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CONFIG = HERE / 'toy_config.py'

# A data loader that the garbage collector ends waits for its workers as long
# as this, 5 seconds by default; at the end of a process it does not.
data_loading.MP_STATUS_CHECK_INTERVAL = 0.1


@pytest.fixture(autouse=True)
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Environment of the toy config; returns the folder of its data."""
    folder = tmp_path / 'data'
    folder.mkdir()
    path = os.pathsep.join([str(HERE), str(ROOT)])
    monkeypatch.setenv('TOY_ROOT', str(folder))
    monkeypatch.setenv('PYTHONPATH', path)
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    monkeypatch.setenv('PYTHON', sys.executable)
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.delenv('LOCAL_RANK', raising=False)
    # MMEngine waits 2 seconds at the end of each epoch that steps go on after.
    monkeypatch.setattr(loops, 'time', SimpleNamespace(sleep=lambda _: None))
    # It formats each config that it writes, five times in a training.
    monkeypatch.setattr(
        'yapf.yapflib.yapf_api.FormatCode', lambda text, **_: (text, False)
    )
    return folder


def _tool(name: str) -> Callable:
    """``main`` of a tool, with the toy config, as if in a new process."""
    main = load_main(f'tools/{name}.py')
    return lambda *args, config=CONFIG.name: main(HERE / config, *args)


@pytest.fixture
def train() -> Callable[..., None]:
    """``tools/train.py`` with the toy config, in this process."""
    return _tool('train')


@pytest.fixture
def evaluate() -> Callable[..., dict[str, float]]:
    """``tools/test.py`` with the toy config, in this process."""
    return _tool('test')


@pytest.fixture
def start() -> Callable[..., subprocess.Popen]:
    """Starts a command in the root of the project."""
    return lambda *command: subprocess.Popen(
        [*map(str, command)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture
def losses() -> Callable[[Path], dict[int, float]]:
    """Reads the losses of all runs in a work folder, by step.

    A step that several runs made must have the same loss in each.
    """

    def read(work_dir: Path) -> dict[int, float]:
        found: dict[int, float] = {}
        for path in sorted(work_dir.glob('*/vis_data/scalars.json')):
            for line in path.read_text().splitlines():
                record = json.loads(line)
                if 'loss' in record:
                    step, loss = record['step'], record['loss']
                    assert found.setdefault(step, loss) == loss
        return found

    return read
