# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The hook that stops at a loss that is no number."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.hooks import CheckpointHook, EMAHook

from aios.engine.hooks import AsyncRuntimeInfoHook, InvalidLossError
from aios.registry import HOOKS


def runner(iteration: int = 6) -> SimpleNamespace:
    """With an optimizer wrapper that cannot leave out a step."""
    return SimpleNamespace(
        iter=iteration,
        optim_wrapper=None,
        message_hub=SimpleNamespace(update_scalar=lambda name, value: None),
    )


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
    hook = HOOKS.build(dict(type='AsyncRuntimeInfoHook'))
    with pytest.raises(InvalidLossError) as error:
        hook.after_train_iter(runner(), 0, batch(), outputs)
    message = str(error.value)
    assert 'iteration 7' in message
    assert 'loss, loss_body_bbox;' in message and 'loss_cls' not in message
    assert "img_id=4, img_path='4.jpg'" in message
    assert "img_id=7, img_path='7.jpg'" in message


def test_finite_losses_pass() -> None:
    hook = AsyncRuntimeInfoHook()
    hook.after_train_iter(runner(), 0, batch(), dict(loss=torch.ones(())))
    hook.after_train_iter(runner(), 0, batch(), None)


def test_samples_that_say_nothing() -> None:
    with pytest.raises(InvalidLossError, match='none known'):
        AsyncRuntimeInfoHook().after_train_iter(
            runner(), 0, None, dict(loss=float('nan'))
        )


def test_runs_before_weights_are_kept() -> None:
    from mmengine.hooks.hook import Hook
    from mmengine.runner.priority import get_priority

    ours = get_priority(AsyncRuntimeInfoHook.priority)
    for other in (Hook, EMAHook, CheckpointHook):
        assert ours < get_priority(other.priority)
