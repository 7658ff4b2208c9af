# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""A submission made by ``tools/test.py`` with a network."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from toy_agora import load_tool

from aios.registry import MODELS, register_all_modules

ROOT = Path(__file__).parents[2]
CONFIG = """
_base_ = ['{base}']
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(
        _delete_=True,
        type='MediaDataset',
        source='{images}',
        pipeline=[
            dict(type='LoadImage'),
            dict(type='WholeBodyResize', scale=(160, 96)),
            dict(type='PackWholeBodyInputs'),
        ],
    ),
)
test_evaluator = dict(
    _delete_=True, type='AGORASubmission', out_dir='{out}', score_thr=0.0
)
"""


@pytest.mark.slow
def test_tool(tmp_path, capsys):
    base = ROOT / 'configs/aios/aios_nano_2xb16_quickstart.py'
    register_all_modules()
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(base).model)
    torch.save(model.state_dict(), tmp_path / 'weights.pth')
    images = tmp_path / 'test'
    images.mkdir()
    rng = np.random.default_rng(0)
    for number in range(3):
        image = rng.integers(0, 255, (90, 160, 3), np.uint8)
        cv2.imwrite(str(images / f'ag_{number}_1280x720.png'), image)

    def run(name, *launcher):
        out = tmp_path / name / 'submission'
        config = tmp_path / f'{name}.py'
        config.write_text(CONFIG.format(base=base, images=images, out=out))
        done = subprocess.run(
            [sys.executable, *launcher, 'tools/test.py', config]
            + [tmp_path / 'weights.pth', '--work-dir', tmp_path / name]
            + (['--launcher', 'pytorch'] if launcher else []),
            cwd=ROOT,
            env={**os.environ, 'PYTHONPATH': str(ROOT)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert 'agora_submission/pictures' in done.stdout
        return out / 'predictions.zip'

    one = run('one')
    names = zipfile.ZipFile(one).namelist()
    assert 'predictions/ag_2_personId_0.pkl' in names
    assert load_tool('misc/check_submission').main([str(one)]) == 0
    torchrun = '-m', 'torch.distributed.run', '--nproc_per_node=2'
    two = run('two', *torchrun, '--standalone')
    assert two.read_bytes() == one.read_bytes()
