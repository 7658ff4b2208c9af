# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The code of the README runs, with a small model and a picture of noise."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from aios.registry import MODELS

ROOT = Path(__file__).parents[2]


def blocks() -> list[str]:
    text = (ROOT / 'README.md').read_text()
    return re.findall(r'```python\n(.*?)```', text, flags=re.DOTALL)


def test_body(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(blocks()[0], 'README.md', 'exec'), {})
    said = capsys.readouterr().out
    assert '[1, 10475, 3]' in said
    assert '[1, 144, 3]' in said


def test_inferencer(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    cv2.imwrite('photo.jpg', rng.integers(0, 256, (96, 128, 3), np.uint8))
    config = Config.fromfile(
        ROOT / 'configs/aios/aios_tiny_1xb8-24e_synthetic.py'
    )
    # Everybody who is found by random weights is everywhere.
    config.model.test_cfg = dict(max_per_img=5, person_class_only=True)
    for step in config.test_dataloader.dataset.pipeline:
        if step['type'] == 'WholeBodyResize':
            step['scale'] = (128, 96)
    config.dump('aios_r50.py')
    model = MODELS.build(config.model)
    torch.save(dict(state_dict=model.state_dict()), 'aios_checkpoint.pth')
    code = blocks()[1].replace("'aios_r50'", "'aios_r50.py'")
    code = code.replace('score_thr=0.3', 'score_thr=0.0')
    exec(compile(code, 'README.md', 'exec'), {})
    said = capsys.readouterr().out
    assert re.search(r'photo \[[^(]*\(5, 10475, 3\)', said)
