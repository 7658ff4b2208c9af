# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""A tiny network with random weights, images and videos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from api_images import SIZE, draw_image
from mmengine.config import Config
from script_loader import load_script

from aios.apis import AiOSInferencer
from aios.registry import MODELS, register_all_modules

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='session')
def tiny_config(free_body_dir: Path) -> Config:
    """A network with one layer per stage, for images of 64 pixels."""
    config = Config.fromfile(
        ROOT / 'configs/aios/aios_nano_2xb16_quickstart.py'
    )
    config.model.bbox_head.body_model.model_path = str(free_body_dir)
    config.model.num_queries, config.model.decoder.num_persons = 50, 8
    # With random weights all boxes overlap.
    config.model.test_cfg = dict(max_per_img=8, person_class_only=True)
    for step in config.test_dataloader.dataset.pipeline:
        if step['type'] == 'WholeBodyResize':
            step['scale'] = (64, 48)
    return config


@pytest.fixture(scope='session')
def checkpoint(
    tmp_path_factory: pytest.TempPathFactory, tiny_config: Config
) -> Path:
    """Checkpoint with the config and random weights; depths of some m."""
    register_all_modules()
    torch.manual_seed(0)
    model = MODELS.build(tiny_config.model)
    for branch in model.bbox_head.smplx:
        last = branch.camera.layers[-1]
        torch.nn.init.normal_(last.weight, std=1e-4)
        last.bias.data = torch.tensor([0.03, 0.0, 0.0])
    path = tmp_path_factory.mktemp('weights') / 'tiny.pth'
    meta = dict(cfg=tiny_config.pretty_text)
    torch.save(dict(state_dict=model.state_dict(), meta=meta), path)
    return path


@pytest.fixture(scope='session')
def inferencer(checkpoint: Path) -> AiOSInferencer:
    """An inferencer that returns up to three persons with any score."""
    return AiOSInferencer(
        weights=checkpoint,
        device='cpu',
        score_thr=0,
        max_persons=3,
        show_progress=False,
    )


@pytest.fixture(scope='session')
def make_video() -> Callable[..., Path]:
    """Writes a video of moving noise."""

    def write(
        path: Path, count: int, size: tuple[int, int] = SIZE, fps: float = 10
    ) -> Path:
        codec = cv2.VideoWriter_fourcc(*'MJPG')
        video = cv2.VideoWriter(str(path), codec, fps, size)
        assert video.isOpened()
        for index in range(count):
            video.write(np.roll(draw_image(1, size), index, axis=1))
        video.release()
        return path

    return write


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Folder with three images of two sizes."""
    folder = tmp_path / 'images'
    folder.mkdir()
    for name, seed, size in (
        ('a.png', 0, SIZE),
        ('b.jpg', 1, SIZE),
        ('c.png', 2, (60, 80)),
    ):
        cv2.imwrite(str(folder / name), draw_image(seed, size))
    return folder


@pytest.fixture(scope='session')
def demo(checkpoint: Path) -> Callable[..., int]:
    """Runs a demo with the tiny network: name, source, options."""

    def run(
        name: str, source: object, *options: object, weights: Path = checkpoint
    ) -> int:
        return load_script(f'demo/{name}.py').main(
            [
                *map(str, (source, '--device', 'cpu', weights)),
                *('--score-thr', '0', '--max-persons', '2'),
                *map(str, options),
            ]
        )

    return run
