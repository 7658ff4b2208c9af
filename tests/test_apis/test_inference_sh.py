# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""``tools/inference.sh``: the call of the original AiOS."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from aios.apis.dist_context import DistContext

SCRIPT = Path(__file__).parents[2] / 'tools/inference.sh'


def _run(*arguments: object, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ['bash', SCRIPT, *map(str, arguments)],
        env=os.environ | variables,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def python(tmp_path: Path) -> str:
    """A python that prints its arguments, one per line."""
    path = tmp_path / 'python'
    path.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ('given', 'persons', 'score', 'options'),
    [
        ([], '1', '0.3', []),
        (['5'], '5', '0.3', []),
        (['5', '.25', '1'], '5', '.25', []),
        (['2', '--track'], '2', '0.3', ['--track']),
    ],
)
def test_one_process(python: str, given, persons, score, options):
    result = _run('w.pth', 'a b.mp4', 'out', *given, PYTHON=python)
    assert result.stdout.splitlines() == [
        *(str(SCRIPT.parents[1] / 'demo/video_demo.py'), 'a b.mp4', 'w.pth'),
        *('--out-dir', 'out', '--max-persons', persons),
        *('--score-thr', score, '--save-mesh', 'obj', *options),
    ]


def test_several_processes_and_a_config(python: str):
    result = _run(
        *('w.pth', 'v.mp4', 'out', 1, 0.3, 8), PYTHON=python, CONFIG='c.py'
    )
    lines = result.stdout.splitlines()
    assert lines[:2] == ['-m', 'torch.distributed.run']
    assert '--nproc-per-node=8' in lines
    assert lines[lines.index('v.mp4') : lines.index('--out-dir')] == [
        *('v.mp4', 'c.py', 'w.pth')
    ]
    assert lines[-2:] == ['--launcher', 'pytorch']


@pytest.mark.parametrize(
    'arguments',
    [['w.pth', 'v.mp4'], ['w', 'v', 'o', 'x'], ['w', 'v', 'o', '1.5']]
    + [['w', 'v', 'o', '1', '0.3', '0'], ['w', 'v', 'o', '1', '0.3', '0.5']],
)
def test_usage(python: str, arguments: list[str]):
    result = _run(*arguments, PYTHON=python)
    assert result.returncode == 2
    assert 'CHECKPOINT INPUT OUTPUT [PERSONS=1]' in result.stderr
    assert not result.stdout


@pytest.mark.parametrize('size', [1, 2, 3, 8])
def test_shares(size: int):
    """Every frame is somebody's, also those that nobody announced."""
    shares = [DistContext(rank, size).share(10) for rank in range(size)]
    assert shares[0][0] == 0
    assert shares[-1][1] is None
    for (_, end), (begin, _) in zip(shares, shares[1:], strict=False):
        assert end == begin


@pytest.mark.parametrize(
    ('wanted', 'gpus', 'devices'),
    [
        (None, 2, ['cuda:0', 'cuda:1', 'cuda:0']),
        ('cuda', 2, ['cuda:0', 'cuda:1', 'cuda:0']),
        # PyTorch for CPUs, or none: ONNX Runtime may know them.
        ('cuda', 0, ['cuda:0', 'cuda:1', 'cuda:2']),
        ('cuda:1', 2, ['cuda:1'] * 3),
        ('cpu', 2, ['cpu'] * 3),
        (None, 0, [None] * 3),
    ],
)
def test_devices(monkeypatch, wanted, gpus, devices):
    monkeypatch.setattr('torch.cuda.device_count', lambda: gpus)
    found = []
    for rank in range(3):
        monkeypatch.setenv('LOCAL_RANK', str(rank))
        found.append(DistContext(rank + 3, 6).device(wanted))
    assert found == devices
    assert DistContext().device(wanted) == wanted


@pytest.mark.slow
@pytest.mark.parametrize('options', [(), ('--track',)])
def test_two_processes(checkpoint, make_video, tmp_path: Path, options):
    video = make_video(tmp_path / 'v.avi', 9)
    for count in (1, 2):
        out = tmp_path / str(count)
        result = _run(
            *(checkpoint, video, out, 2, 0, count, '--device', 'cpu'),
            *('--draw', 'boxes', *options),
            PYTHON=sys.executable,
        )
        assert result.returncode == 0, result.stderr
        assert result.stdout.count('results: ') == 1
    alone, shared = (
        {p.relative_to(tmp_path / n).as_posix() for p in files}
        for n in '12'
        for files in [(tmp_path / n).rglob('*.*')]
    )
    assert alone == shared
    assert {'params.npz', 'vis.mp4', 'run.json'} < shared
    with (
        np.load(tmp_path / '1/params.npz') as a,
        np.load(tmp_path / '2/params.npz') as b,
    ):
        assert a['frame_names'].shape == (9,)
        for name in a.files:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)
