# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The classes and configs of ``docs/en/extend`` work as they stand there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from gt_fields import ground_truth, image_sample
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from script_loader import page_blocks
from torch import Tensor

from aios.datasets.pipeline import build_pipeline
from aios.models.checkpoints import CheckpointError
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


def test_weights_of_another_backbone(pages, tmp_path) -> None:
    (drop,) = (s['drop_backbone'] for s in pages['backbone'] if 'torch' in s)
    backbone, neck = dict(base_channels=32), dict(in_channels=[64, 128, 256])
    source, model = build({}), build(dict(backbone=backbone, neck=neck))
    model.bbox_head.encoder_cls.bias.data.zero_()
    with pytest.raises(CheckpointError, match='has shape .*in the checkpoint'):
        model.load_state_dict(source.state_dict(), strict=False)
    torch.save(dict(state_dict=source.state_dict()), tmp_path / 'a.pth')
    drop(tmp_path / 'a.pth', tmp_path / 'b.pth')
    load_checkpoint(model, str(tmp_path / 'b.pth'))
    for name in ('bbox_head.encoder_cls.bias', 'level_embed'):
        assert torch.equal(*(x.state_dict()[name] for x in (model, source)))


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


def test_datasets(pages, tmp_path) -> None:
    assert DATASETS.get('MyDataset') is not None
    listed, wrapped = (
        s['train_dataloader']['dataset']
        for s in pages['dataset']
        if 'train_dataloader' in s
    )
    assert DATASETS.get(wrapped['type']) is not None
    (one,) = listed['datasets']
    assert DATASETS.get(one['type']) is not None
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((60, 80, 3), np.uint8))
    image = dict(file='a.png', height=60, width=80, boxes=[[9, 9, 40, 50]])
    (tmp_path / 'boxes.json').write_text(json.dumps([image]))
    kind = dict(type='BoxDataset', ann_file='boxes.json')
    data_root, pipeline = str(tmp_path), build_pipeline(one['pipeline'])
    sample = DATASETS.build(
        dict(kind, data_root=data_root, pipeline=pipeline)
    )[0]['data_samples']
    sample.set_metainfo(dict(batch_input_shape=sample.img_shape))
    images = torch.randn(1, 3, *sample.img_shape)
    losses = build({}).train()(images, [sample], mode='loss')
    assert losses['loss_body_bbox'] > 0
    assert losses['loss_smplx_pose_body'] == 0
