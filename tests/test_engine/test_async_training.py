# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Training that does not wait for the numbers it logs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from mmengine.hooks import EMAHook, Hook
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.optim.optimizer import amp_optimizer_wrapper
from mmengine.runner import Runner
from torch.utils.data import Dataset

from aios.engine.hooks import InvalidLossError

CLIP = dict(max_norm=0.1, norm_type=2)


class Line(Dataset):
    """Eight images, perhaps one of them broken."""

    def __init__(self, broken: int | None = None) -> None:
        self.broken = broken

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict:
        value = float('nan') if index == self.broken else index / 8
        return dict(inputs=torch.full((3,), value), data_samples=index)


class Slope(BaseModel):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)

    def forward(self, inputs, data_samples, mode='tensor'):
        error = self.layer(inputs) - data_samples[:, None] / 4
        return dict(loss_l2=(error**2).mean(), loss_l1=error.abs().mean())


def make_wrapper(model, kind='aios.AsyncOptimWrapper', fused=True, **options):
    optimizer = dict(type='AdamW', lr=0.1, fused=fused)
    return build_optim_wrapper(
        model, dict(type=kind, optimizer=optimizer, **options)
    )


def make_runner(work_dir: Path, wrapper: str, hook: str, broken=None, **more):
    torch.manual_seed(0)
    hooks = dict(
        runtime_info=dict(type=hook),
        logger=dict(type='LoggerHook', interval=3),
        checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=4),
    )
    return Runner(
        model=Slope(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            batch_size=1,
            num_workers=0,
            collate_fn=dict(type='default_collate'),
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=Line(broken),
        ),
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(
            type=wrapper,
            optimizer=dict(type='AdamW', lr=0.1, fused=True),
            clip_grad=CLIP,
            **more,
        ),
        default_hooks=hooks,
        custom_hooks=[
            dict(type='EMAHook', ema_type='ExponentialMovingAverage')
        ],
        default_scope='aios',
        experiment_name=f'{work_dir.parent.name}_{work_dir.name}',
    )


def logs_of(work_dir: Path) -> list[dict]:
    (path,) = work_dir.glob('*/vis_data/scalars.json')
    records = [json.loads(line) for line in path.read_text().splitlines()]
    times = ('time', 'data_time')
    return [{k: v for k, v in r.items() if k not in times} for r in records]


def history(runner: Runner, name: str) -> list[float]:
    return runner.message_hub.get_scalar(f'train/{name}').data[0].tolist()


@pytest.mark.parametrize('accumulative_counts', [1, 2])
def test_logs_and_weights_are_those_of_mmengine(tmp_path, accumulative_counts):
    ours = make_runner(
        tmp_path / 'ours',
        'AsyncOptimWrapper',
        'AsyncRuntimeInfoHook',
        accumulative_counts=accumulative_counts,
    )
    theirs = make_runner(
        tmp_path / 'theirs',
        'OptimWrapper',
        'RuntimeInfoHook',
        accumulative_counts=accumulative_counts,
    )
    ours.train(), theirs.train()
    logs = logs_of(tmp_path / 'ours')
    assert logs == logs_of(tmp_path / 'theirs')
    assert {'loss', 'loss_l1', 'loss_l2', 'grad_norm'} <= set(logs[0])
    for a, b in zip(
        ours.model.parameters(), theirs.model.parameters(), strict=True
    ):
        assert torch.equal(a, b)
    for name in ('loss', 'grad_norm'):
        assert history(ours, name) == history(theirs, name)


def test_numbers_are_logged_a_step_later(tmp_path):
    """Or at once, where somebody looks."""
    runner = make_runner(
        tmp_path / 'ours', 'AsyncOptimWrapper', 'AsyncRuntimeInfoHook'
    )
    known = []

    class Count(Hook):
        priority = 'LOWEST'

        def after_train_iter(self, runner, *args, **kwargs):
            hub = runner.message_hub
            if 'train/loss' in hub.log_scalars:
                known.append(len(history(runner, 'loss')))
            else:
                known.append(0)

    runner.register_hook(Count())
    runner.train()
    # 3, 6: LoggerHook; 4: a checkpoint; 8: the end of an epoch
    assert known[:8] == [0, 1, 3, 4, 4, 6, 6, 8]
    saved = torch.load(tmp_path / 'ours' / 'iter_4.pth', weights_only=False)
    scalars = saved['message_hub']['log_scalars']
    assert len(scalars['train/loss'].data[0]) == 4


@pytest.mark.parametrize('wrapper', ['AsyncOptimWrapper', 'OptimWrapper'])
def test_broken_losses_stop_the_training(tmp_path, wrapper):
    runner = make_runner(
        tmp_path / 'run', wrapper, 'AsyncRuntimeInfoHook', broken=4
    )
    with pytest.raises(InvalidLossError) as error:
        runner.train()
    message = str(error.value)
    assert message.startswith('iteration 5: non-finite values:')
    assert 'loss_l1' in message and 'loss_l2' in message
    ema = next(h for h in runner.hooks if isinstance(h, EMAHook))
    for weight in ema.ema_model.state_dict().values():
        assert torch.isfinite(weight).all()
    saved = sorted(path.name for path in (tmp_path / 'run').glob('*.pth'))
    assert saved == ['iter_4.pth']


@pytest.mark.parametrize(
    'options',
    [
        dict(kind='aios.AsyncOptimWrapper'),
        dict(
            kind='aios.AsyncAmpOptimWrapper',
            dtype='bfloat16',
            loss_scale=dict(enabled=False),
        ),
    ],
)
def test_broken_step_changes_nothing(monkeypatch, options):
    # MMEngine's wrapper for mixed precision asks for a GPU
    monkeypatch.setattr(
        amp_optimizer_wrapper, 'is_cuda_available', lambda: True
    )
    model = Slope()
    wrapper = make_wrapper(model, clip_grad=CLIP, **options)
    assert wrapper.skips_broken_steps
    inputs = torch.rand(2, 3)
    target = torch.rand(2)

    def step(inputs):
        loss = model(inputs, target)['loss_l2']
        wrapper.update_params(loss)

    def state():
        kept = wrapper.optimizer.state_dict()['state']
        return [p.detach().clone() for p in model.parameters()] + [
            value.clone() for s in kept.values() for value in s.values()
        ]

    step(inputs)
    before = state()
    step(inputs * float('inf'))
    assert not wrapper.take_grad_norm()['grad_norm'].isfinite()
    after = state()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    step(inputs)
    assert not any(
        torch.equal(a, b) for a, b in zip(before, state(), strict=True)
    )


def test_broken_gradient_stops_the_training(tmp_path, monkeypatch):
    """Otherwise each step would be skipped, and nobody told."""
    runner = make_runner(
        tmp_path / 'run', 'AsyncOptimWrapper', 'AsyncRuntimeInfoHook'
    )
    forward = Slope.forward

    def forward_without_slope(self, inputs, data_samples, mode='tensor'):
        losses = forward(self, inputs, data_samples, mode)
        if data_samples == 6:  # a loss of 0, whose gradient is none
            losses['loss_root'] = (self.layer.weight * 0).abs().sqrt().sum()
        return losses

    monkeypatch.setattr(Slope, 'forward', forward_without_slope)
    with pytest.raises(InvalidLossError, match='iteration 7: .* grad_norm;'):
        runner.train()
    assert all(p.isfinite().all() for p in runner.model.parameters())


def test_norm_is_given_once():
    model = Slope()
    wrapper = make_wrapper(model, clip_grad=CLIP)
    wrapper.update_params(model(torch.ones(1, 3), torch.ones(1))['loss_l2'])
    assert wrapper.take_grad_norm()['grad_norm'] > 0
    assert wrapper.take_grad_norm() == {}


@pytest.mark.parametrize(
    'options',
    [
        dict(fused=False, clip_grad=CLIP),
        dict(fused=True),
        dict(fused=True, clip_grad=dict(type='value', clip_value=0.1)),
    ],
)
def test_steps_that_cannot_be_skipped(options):
    """Then losses are looked at before anybody uses the weights."""
    model = Slope()
    wrapper = make_wrapper(model, **options)
    assert not wrapper.skips_broken_steps
    plain = make_wrapper(Slope(), kind='OptimWrapper', **options)
    assert type(plain) is OptimWrapper
    wrapper.update_params(model(torch.ones(1, 3), torch.ones(1))['loss_l2'])
    assert all(p.isfinite().all() for p in model.parameters())
