# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Any backbone and neck of the OpenMMLab family fits."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from gt_fields import ground_truth, image_sample
from mmengine.config import Config
from mmengine.registry import init_default_scope

from aios.models.necks import SimpleFeaturePyramid
from aios.registry import MODELS

CONFIGS = Path(__file__).parents[2] / 'configs/aios'
needs_mmpretrain = pytest.mark.skipif(
    importlib.util.find_spec('mmpretrain') is None,
    reason='mmpretrain is not installed',
)
slow = pytest.mark.slow
BACKBONES = [
    pytest.param('aios_tiny', 4),
    pytest.param('aios_r18', 4, marks=slow),
    pytest.param('aios_r50', 4, marks=slow),
    pytest.param('aios_r50_5scale', 5, marks=slow),
    pytest.param('aios_r101', 4, marks=slow),
    pytest.param('aios_swin-t', 4, marks=slow),
    pytest.param('aios_swin-l_5scale', 5, marks=slow),
    pytest.param('aios_pvtv2-b2', 4, marks=slow),
    pytest.param('aios_convnext-t', 4, marks=[slow, needs_mmpretrain]),
    pytest.param('aios_vit-b', 4, marks=[slow, needs_mmpretrain]),
]


def build(name):
    """The model of a config, with random weights and one layer per stage."""
    config = Config.fromfile(CONFIGS / f'{name}.py')
    init_default_scope('aios')
    config.model.encoder.num_layers = 1
    for stage in config.model.decoder.stages:
        stage.num_layers = 1
    config.model.backbone.init_cfg = None
    config.model.bbox_head.body_model.model_path = 'free'
    torch.manual_seed(0)
    return MODELS.build(config.model)


def make_batch(sizes=((96, 128), (80, 112))):
    """Images of different sizes in one batch, with two persons each."""
    height, width = (max(edge) for edge in zip(*sizes, strict=True))
    images = torch.zeros(len(sizes), 3, height, width)
    samples = []
    for image, (h, w) in zip(images, sizes, strict=True):
        image[:, :h, :w] = torch.randn(3, h, w)
        persons = ground_truth(2, (h, w))
        samples.append(
            image_sample((h, w), persons, batch_input_shape=(height, width))
        )
    return images, samples


@pytest.mark.parametrize(('name', 'num_levels'), BACKBONES)
def test_loss_and_gradients(name, num_levels):
    model = build(name).train()
    images, samples = make_batch()
    assert len(model.extract_feat(images)) == num_levels
    losses = model(images, samples, mode='loss')
    assert len(losses) > 60
    for loss_name, loss in losses.items():
        assert torch.isfinite(loss), loss_name
    sum(losses.values()).backward()
    trained = [
        parameter
        for parameter in model.backbone.parameters()
        if parameter.requires_grad
    ]
    assert any(p.grad is not None and p.grad.any() for p in trained)
    assert all(p.grad is None or p.grad.isfinite().all() for p in trained)


@pytest.mark.parametrize('size', [(6, 8), (5, 7)])
def test_simple_feature_pyramid(size):
    neck = SimpleFeaturePyramid(12, 32)
    early, last = torch.randn(2, 2, 12, *size)
    levels = neck([early, last])
    assert [tuple(level.shape) for level in levels] == [
        (2, 32, 2 * size[0], 2 * size[1]),
        (2, 32, *size),
        (2, 32, 3, 4),
        (2, 32, 2, 2),
    ]
    for ours, expected in zip(levels, neck([last]), strict=True):
        assert torch.equal(ours, expected)


@pytest.mark.parametrize('scale', [3, 0, -1])
def test_scales_are_powers_of_two(scale):
    with pytest.raises(ValueError, match=f'got {scale}'):
        SimpleFeaturePyramid(12, 32, scales=(scale,))
