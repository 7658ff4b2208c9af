# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The base config builds and delivers batches."""

from __future__ import annotations

from pathlib import Path

import pytest
from gt_fields import check_gt_instances
from mmengine.config import Config
from mmengine.runner import Runner

from aios.registry import register_all_modules

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
