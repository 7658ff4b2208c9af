# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The classes and configs of ``docs/en/extend`` work as they stand there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from gt_fields import ground_truth, image_sample
from mmdet.structures import DetDataSample
from mmengine.config import Config
from script_loader import page_blocks
from torch import Tensor

from aios.datasets.pipeline import build_pipeline
from aios.datasets.transforms import PackWholeBodyInputs
from aios.registry import DATASETS, MODELS

ROOT = Path(__file__).parents[2]
SIZE = (96, 128)


def run_page(name: str) -> list[dict[str, Any]]:
    """Run each block of a page that is no dialogue; what each defines."""
    results = []
    for block in page_blocks(f'docs/en/extend/{name}.md'):
        if '>>>' not in block:
            scope: dict[str, Any] = {'__name__': f'page_{name}'}
            exec(compile(block, name, 'exec'), scope)
            results.append(scope)
    return results


@pytest.fixture(scope='module')
def pages() -> dict[str, list[dict[str, Any]]]:
    """Once, because a class is registered once."""
    names = ('backbone', 'stage', 'loss', 'dataset')
    return {name: run_page(name) for name in names}


def build(model: dict[str, Any]) -> torch.nn.Module:
    """The tiny model with the changes of a page."""
    config = Config.fromfile(ROOT / 'configs/aios/aios_tiny.py')
    config.merge_from_dict(dict(model=model))
    return MODELS.build(config.model)


def batch(count: int) -> tuple[Tensor, list[DetDataSample]]:
    """An image of count of whom everything is labeled but the shape."""
    persons = ground_truth(count, SIZE)
    persons.smplx_betas_valid = torch.zeros_like(persons.smplx_betas_valid)
    return torch.randn(1, 3, *SIZE), [image_sample(SIZE, persons)]


def test_backbones(pages) -> None:
    models = [s['model'] for s in pages['backbone'] if 'model' in s]
    names = ['SwinTransformer', 'MoveNet', 'StridedBackbone']
    for name, config in zip(names, models, strict=True):
        model = build(config).eval()
        with torch.no_grad():
            out = model(*batch(0), mode='tensor')
        assert out.layers[-1].smplx.betas.isfinite().all()
        assert type(model.backbone).__name__ == name


def test_stages(pages) -> None:
    (scope,) = pages['stage']
    decoder = build(scope['model']).decoder
    names = [stage.layout.name for stage in decoder.stages]
    assert names == ['body_localization', 'body_refinement', 'whole_body']


def test_loss(pages) -> None:
    (config,) = (s['model'] for s in pages['loss'] if 'model' in s)
    model = build(config).train()
    losses = model(*batch(2), mode='loss')
    for name in ('loss_shape_prior', 'd2.loss_shape_prior'):
        assert losses[name] > 0
    assert 'd1.loss_shape_prior' not in losses
    losses['loss_shape_prior'].backward()


def test_datasets(pages) -> None:
    assert DATASETS.get('MyDataset') is not None
    loaders = [
        s['train_dataloader']
        for s in pages['dataset']
        if 'train_dataloader' in s
    ]
    assert len(loaders) == 2
    for loader in loaders:
        assert DATASETS.get(loader['dataset']['type']) is not None
    *_, last = build_pipeline(loaders[0]['dataset']['pipeline'])
    assert isinstance(last, PackWholeBodyInputs)
