# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The code of ``docs/en/visualization.md`` runs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from mmengine.config import Config
from script_loader import page_blocks

from aios.registry import VISUALIZERS
from aios.results import FrameResult, complete_instances
from aios.visualization import VideoFile

PAGE = Path(__file__).parents[2] / 'docs/en/visualization.md'


def test_code_of_the_page(make_sphere, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with VideoFile('dance.mp4', 25) as video:
        video.write(np.zeros((48, 64, 3), np.uint8))
    vertices, faces = make_sphere()
    vertices = 0.5 * vertices + (0, 0, 4)
    K = np.array([[60.0, 0, 32], [0, 60, 24], [0, 0, 1]])
    persons = complete_instances(
        transl=np.array([[0, 0, 4]]),
        bboxes=np.array([[20, 12, 44, 36]]),
        vertices=vertices[None],
    )
    image = np.full((48, 64, 3), 90, np.uint8)
    scope = dict(
        frame=FrameResult('a', 0, 0.0, K, (64, 48), persons),
        image=image,
        faces=faces,
        vertices=vertices,
        K=K,
        height=48,
        width=64,
    )
    blocks = page_blocks(PAGE)
    assert len(blocks) >= 4
    for block in blocks:
        exec(compile(block, str(PAGE), 'exec'), scope)
    assert scope['drawn'].shape == (48, 64 + 24, 3)
    assert (scope['result'].ids == 0).sum() > 100
    capture = cv2.VideoCapture('vis.mp4')
    assert capture.get(cv2.CAP_PROP_FPS) == 25
    config = Config(dict(visualizer=scope['visualizer'])).visualizer
    config.save_dir = str(tmp_path)
    config.name = 'page'
    assert VISUALIZERS.build(config).panels
