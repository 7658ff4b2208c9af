# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""``tools/test.py``."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from mmengine.config import Config
from script_loader import load_script

from aios.utils.safe_io import load_pickle


@pytest.fixture
def checkpoint(train, tmp_path) -> Path:
    work_dir = tmp_path / 'train'
    train('--work-dir', work_dir, '--cfg-options', 'train_cfg.max_epochs=1')
    return work_dir / 'epoch_1.pth'


def test_metrics_predictions_and_images(
    checkpoint, evaluate, tmp_path, capsys
):
    work_dir, out = tmp_path / 'test', tmp_path / 'out.pkl'
    metrics = evaluate(
        *(checkpoint, '--work-dir', work_dir),
        *('--out', out, '--show-dir', 'drawn'),
    )
    assert metrics['whole_body/recall'] == 1
    lines = capsys.readouterr().out.splitlines()
    assert ['whole_body/recall', '1'] in [line.split() for line in lines]
    records = load_pickle(out)
    assert [record['img_id'] for record in records] == [*range(6)]
    images = sorted(work_dir.glob('*/drawn/*.jpg'))
    assert len(images) == 6
    # ground truth to the left of the prediction
    assert cv2.imread(str(images[0])).shape == (16, 32, 3)


def test_augmentation_of_wrapped_datasets():
    one = dict(type='ToyDataset')
    repeated = dict(type='RepeatDataset', dataset=dict(one, pipeline=['a']))
    both = dict(type='ConcatDataset', datasets=[one, repeated])
    config = Config(
        dict(
            model=dict(type='ToyModel'),
            test_dataloader=dict(dataset=both),
            tta_model=dict(type='ToyViews'),
            tta_pipeline=['b'],
        )
    )
    load_script('tools/test.py').use_test_time_augmentation(config)
    assert config.model.module.type == 'ToyModel'
    first, second = config.test_dataloader.dataset.datasets
    assert first.pipeline == second.dataset.pipeline == ['b']
    assert 'pipeline' not in config.test_dataloader.dataset


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--tta'], 'has no tta_model, tta_pipeline'),
        (['--out', 'out.json'], 'must be .pkl'),
        (['--cfg-options', 'test_evaluator=None'], 'has no test_evaluator'),
        (
            [
                *('--show-dir', 'x', '--cfg-options'),
                'default_hooks.visualization=None',
            ],
            'WholeBodyVisualizationHook',
        ),
    ],
)
def test_errors(evaluate, tmp_path, options, message):
    with pytest.raises(SystemExit, match=message):
        evaluate('weights.pth', '--work-dir', tmp_path, *options)
