# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""``docs/en/inference.md`` says what is true."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import cv2
from api_images import draw_image
from script_loader import page_blocks

from aios.results import SequenceResult

PAGE = Path(__file__).parents[2] / 'docs/en/inference.md'


def test_code(
    checkpoint, free_body_dir, make_video, tmp_path, monkeypatch, capsys
):
    smoothing, inference, files = page_blocks(PAGE)
    monkeypatch.chdir(tmp_path)
    shutil.copy(checkpoint, 'aios.pth')
    cv2.imwrite('photo.jpg', draw_image(0))
    make_video(Path('dance.avi'), 3).rename('dance.mp4')
    # Random weights are not sure of anybody.
    inference = inference.replace('score_thr=0.3', 'score_thr=0')
    names: dict = {}
    exec(compile(inference, str(PAGE), 'exec'), names)
    assert names['overlay'].shape == (72, 96, 3)
    lines = capsys.readouterr().out.splitlines()
    assert re.match(r'000002 \(\d, 144, 3\) 7500', lines[-1])

    exec(compile(files, str(PAGE), 'exec'), names)
    assert Path('results/keypoints.json').exists()
    assert Path('results/vis.mp4').exists()
    smoothing = smoothing.replace("'free'", repr(str(free_body_dir)))
    exec(compile(smoothing, str(PAGE), 'exec'), {})
    persons = SequenceResult.load('results/params.npz')
    assert len(SequenceResult.load('smooth.npz')) == len(persons)
