# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The hook that stops at a loss that is no number."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.hooks import CheckpointHook, EMAHook

from aios.engine.hooks import InvalidLossError, InvalidLossHook
from aios.registry import HOOKS


def runner(iteration: int = 6) -> SimpleNamespace:
    return SimpleNamespace(iter=iteration)


def batch() -> dict:
    return dict(
        data_samples=[
            DetDataSample(metainfo=dict(img_id=i, img_path=f'{i}.jpg'))
            for i in (4, 7)
        ]
    )


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_names_losses_and_samples(value) -> None:
    outputs = dict(
        loss=torch.tensor(value),
        loss_cls=torch.tensor(1.0),
        loss_body_bbox=torch.tensor(value),
    )
    hook = HOOKS.build(dict(type='InvalidLossHook'))
    with pytest.raises(InvalidLossError) as error:
        hook.after_train_iter(runner(), 0, batch(), outputs)
    message = str(error.value)
    assert 'iteration 7' in message
    assert 'loss, loss_body_bbox;' in message and 'loss_cls' not in message
    assert "img_id=4, img_path='4.jpg'" in message
    assert "img_id=7, img_path='7.jpg'" in message


def test_finite_losses_pass() -> None:
    hook = InvalidLossHook()
    hook.after_train_iter(runner(), 0, batch(), dict(loss=torch.ones(())))
    hook.after_train_iter(runner(), 0, batch(), None)


def test_interval() -> None:
    hook = InvalidLossHook(interval=4)
    outputs = dict(loss=float('nan'))
    hook.after_train_iter(runner(6), 0, None, outputs)
    with pytest.raises(InvalidLossError, match='none known'):
        hook.after_train_iter(runner(7), 0, None, outputs)


def test_runs_before_weights_are_kept() -> None:
    from mmengine.hooks.hook import Hook
    from mmengine.runner.priority import get_priority

    ours = get_priority(InvalidLossHook.priority)
    for other in (Hook, EMAHook, CheckpointHook):
        assert ours < get_priority(other.priority)
