# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The smallest recipe from random weights: three images, two steps."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from script_loader import load_main

from aios.results import SequenceResult

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/aios/aios_nano_2xb16_quickstart.py'
STEPS = 2
# Nobody is found by random weights with a useful score.
ANY_SCORE = '0'


@pytest.fixture(scope='module')
def images(
    tmp_path_factory: pytest.TempPathFactory, free_body_dir: Path
) -> Path:
    """Three images of one or two persons."""
    folder = tmp_path_factory.mktemp('quickstart') / 'images'
    load_main('tools/make_synthetic_dataset.py')(
        folder, '--images', 3, '--size', '96x72', '--persons', '1-2',
        '--supersample', 1, '--body', free_body_dir,
    )  # fmt: skip
    return folder


@pytest.fixture(scope='module')
def options(images: Path) -> list[str]:
    """Options that make everything small."""
    phases = [f'{p}_dataloader' for p in ('train', 'val', 'test')]
    return [
        '--cfg-options',
        f'train_dataloader.dataset.datasets.0.data_root={images}/',
        *(f'{phase}.dataset.data_root={images}/' for phase in phases[1:]),
        *(f'{phase}.batch_size=2' for phase in phases),
        'train_dataloader.num_workers=0',
        'train_dataloader.persistent_workers=False',
        f'train_cfg.max_iters={STEPS}',
        f'train_cfg.val_interval={STEPS}',
        f'default_hooks.checkpoint.interval={STEPS}',
        'test_evaluator.score_thr=0',
    ]


@pytest.fixture(scope='module')
def checkpoint(
    tmp_path_factory: pytest.TempPathFactory, options: list[str]
) -> Path:
    """Weights after two steps."""
    folder = tmp_path_factory.mktemp('training')
    load_main('tools/train.py')(CONFIG, '--work-dir', folder, *options)
    return folder / f'iter_{STEPS}.pth'


def test_train_and_evaluate(
    checkpoint: Path, options: list[str], tmp_path: Path
):
    metrics = load_main('tools/test.py')(
        CONFIG, checkpoint, '--work-dir', tmp_path, *options
    )
    assert metrics['whole_body/images'] == 3
    assert metrics['whole_body/predictions'] > 0
    # Every validation is drawn.
    assert list(checkpoint.parent.glob('*/vis_data/vis_image/*'))


def test_predict(checkpoint: Path, images: Path, tmp_path: Path):
    predict = load_main('demo/image_demo.py')
    count = predict(
        images / 'images', CONFIG, checkpoint,
        '--out-dir', tmp_path / 'out', '--score-thr', ANY_SCORE,
    )  # fmt: skip
    folder = tmp_path / 'out'
    image = folder / 'vis/000000.jpg'
    assert cv2.imread(str(image)).shape == (72, 96, 3)
    persons = SequenceResult.load(folder / 'params/000000.npz')
    meshes = sorted((folder / 'mesh').glob('000000_person*.obj'))
    assert len(meshes) == len(persons)
    assert len(list(folder.glob('mesh/*.obj'))) == count > 0
    assert len(SequenceResult.load(folder / 'params.npz')) == count
    lines = meshes[0].read_text().splitlines()
    assert sum(line.startswith('v ') for line in lines) == 10475
    faces = [line.split()[1:] for line in lines if line.startswith('f ')]
    assert np.array(faces, int).min() == 1
    assert np.array(faces, int).max() <= 10475
