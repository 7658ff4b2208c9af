# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The base config builds and delivers batches."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from gt_fields import check_gt_instances
from mmengine.config import Config
from mmengine.runner import Runner

from aios.registry import MODELS, register_all_modules

CONFIG = Path(__file__).parents[2] / 'configs/_base_/datasets/synthetic.py'


@pytest.mark.parametrize('phase', ['train', 'val', 'test'])
def test_batches(toy, phase):
    register_all_modules()
    files = toy()
    config = Config.fromfile(CONFIG)[f'{phase}_dataloader']
    config.num_workers = 0
    config.persistent_workers = False
    config.dataset.data_root = str(files.root)
    loader = Runner.build_dataloader(config, seed=0)
    batches = list(loader)
    samples = [s for batch in batches for s in batch['data_samples']]
    assert sorted(s.img_id for s in samples) == [0, 1, 2]
    for sample in samples:
        check_gt_instances(sample.gt_instances)
        if phase != 'train':
            assert sample.img_shape == (800, 1066)


def test_preprocessor_takes_them(toy):
    """Normalised RGB, padded with zeros after it."""
    register_all_modules()
    files = toy()
    config = Config.fromfile(CONFIG).train_dataloader
    config.dataset.data_root = str(files.root)
    config.update(num_workers=0, persistent_workers=False, batch_size=3)
    batch = next(iter(Runner.build_dataloader(config, seed=0)))
    preprocessor = MODELS.build(
        {
            'type': 'mmdet.DetDataPreprocessor',
            'mean': [123.675, 116.28, 103.53],
            'std': [58.395, 57.12, 57.375],
            'bgr_to_rgb': True,
        }
    )
    red = batch['inputs'][0][2, 1, 1]
    inputs = preprocessor(batch, training=True)['inputs']
    torch.testing.assert_close(inputs[0, 0, 1, 1], (red - 123.675) / 58.395)
    for image, sample in zip(inputs, batch['data_samples'], strict=True):
        height, width = sample.img_shape
        assert not image[:, height:].any()
        assert not image[:, :, width:].any()
