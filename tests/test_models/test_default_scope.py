# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Our parts are found in configs of other projects, when they are built."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from test_aios import predict
from test_criterion_robustness import batch_of, persons_of

from aios.body_models import MissingBodyModelError
from aios.registry import MODELS, TRANSFORMS


def tiny(**head):
    config = Config.fromfile('configs/aios/aios_tiny.py').model
    config.type = 'aios.AiOS'
    config.bbox_head.body_model.update(head)
    return config


@pytest.fixture
def mmdet_scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


def test_first_loss_and_first_prediction(mmdet_scope) -> None:
    model = MODELS.build(tiny()).train()
    losses = model(*batch_of([persons_of(1)]), mode='loss')
    assert torch.isfinite(sum(losses.values()))
    (result,) = predict(model.eval(), (64, 64))
    assert 'vertices' in result


def test_names_of_mmdet_stay(mmdet_scope) -> None:
    assert type(TRANSFORMS.build(dict(type='Resize', scale=(2, 2)))) is (
        TRANSFORMS.get('mmdet.Resize')
    )
    flip = TRANSFORMS.build(dict(type='WholeBodyFlip', prob=0.3))
    assert flip.prob == 0.3


def test_body_model_is_there_from_the_start() -> None:
    """Before anything wraps the module."""
    head = MODELS.build(tiny()).bbox_head
    assert head.body_model is head.smplx_layer
    assert head.body_model in list(head.modules())
    again = copy.deepcopy(head)
    assert again.body_model is not head.body_model
    assert pickle.loads(pickle.dumps(head.body_model)).gender == 'neutral'


def test_bodies_stay_in_single_precision() -> None:
    model = MODELS.build(tiny()).half()
    assert model.bbox_head.encoder_cls.weight.dtype == torch.float16
    assert model.bbox_head.body_model.v_template.dtype == torch.float32
    model.bbox_head.build_body_model(torch.float64)
    assert model.bbox_head.body_model.v_template.dtype == torch.float64


def test_missing_body_model_is_told_when_needed(tmp_path, monkeypatch) -> None:
    monkeypatch.delenv('AIOS_BODY_MODELS', raising=False)
    model = MODELS.build(tiny(model_path=str(tmp_path / 'none'))).eval()
    assert model(torch.zeros(1, 3, 64, 64), mode='tensor').layers
    with pytest.raises(MissingBodyModelError, match='none'):
        model.bbox_head.body_model  # noqa: B018
    model.bbox_head.body_model_cfg['model_path'] = 'free'
    model.bbox_head.build_body_model()
    assert model.bbox_head.body_model.gender == 'neutral'
