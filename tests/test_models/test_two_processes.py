# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Distributed training of the network itself, on gloo."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name('two_processes.py')
CONFIGS = Path(__file__).parents[2] / 'configs/aios'


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        return listener.getsockname()[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    'config', ['aios_tiny.py', 'aios_nano_2xb16_quickstart.py']
)
def test_process_without_people(config, tmp_path) -> None:
    """Without ``find_unused_parameters``; both end with the same weights."""
    environment = os.environ | dict(
        WORLD_SIZE='2',
        MASTER_ADDR='127.0.0.1',
        MASTER_PORT=str(free_port()),
        OMP_NUM_THREADS='1',
        PYTHONPATH=os.pathsep.join(sys.path),
    )
    processes = [
        subprocess.Popen(
            [sys.executable, SCRIPT, CONFIGS / config, tmp_path],
            env=environment | dict(RANK=str(rank)),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    first, second = (
        json.loads((tmp_path / f'{rank}.json').read_text())
        for rank in range(2)
    )
    assert first['persons'] == [2, 0, 0]
    assert second['persons'] == [0, 3, 0]
    assert all(map(math.isfinite, first['losses'] + second['losses']))
    assert first['weights'] == second['weights']
