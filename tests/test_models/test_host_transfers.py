# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""How often a step waits for the device.

On a CPU nothing waits, so calls are counted that would wait on a GPU: those
that read a tensor's numbers, and those whose result's size depends on them.
"""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from test_backbones import make_batch
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._python_dispatch import TorchDispatchMode

from aios.engine.hooks import AsyncRuntimeInfoHook

# Seen by the dispatcher, wherever they are called from
OPERATORS = {
    '_local_scalar_dense',  # item, bool, int, float, printing
    '_unique2',
    'equal',
    'is_nonzero',
    'masked_select',
    'nonzero',
    'unique_consecutive',
    'unique_dim',
}
# Not seen there: they read the memory of a tensor on the host
METHODS = {'cpu', 'tolist', 'numpy', '__array__'}


class _Operators(TorchDispatchMode):
    def __init__(self, seen: Counter) -> None:
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.__name__.split('.')[0]
        if name in OPERATORS:
            self.seen[name] += 1
        if name in ('index', 'index_put', 'index_put_') and any(
            x is not None and x.dtype in (torch.bool, torch.uint8)
            for x in args[1]
        ):
            self.seen['index with a mask'] += 1
        return func(*args, **(kwargs or {}))


class _Methods(TorchFunctionMode):
    def __init__(self, seen: Counter) -> None:
        super().__init__()
        self.seen = seen

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = (resolve_name(func) or '').removeprefix('torch.Tensor.')
        if name in METHODS:
            self.seen[name] += 1
        return func(*args, **(kwargs or {}))


@pytest.fixture
def seen(monkeypatch):
    """What would wait; kernels are those of GPUs."""
    monkeypatch.setenv('AIOS_MSDA_KERNEL', 'grid_sample')
    return Counter()


def test_step_of_training(seen, make_shallow_model):
    """The costs of matching: one.

    Losses and the norm of the gradient are read after the next step, when
    their copy has arrived.
    """
    model = make_shallow_model().train()
    wrapper = build_optim_wrapper(
        model,
        dict(
            type='aios.AsyncOptimWrapper',
            optimizer=dict(type='AdamW', lr=1e-4, fused=True),
            clip_grad=dict(max_norm=0.1, norm_type=2),
        ),
    )
    logged = {}
    runner = SimpleNamespace(
        iter=0,
        hooks=[],
        train_dataloader=range(100),
        optim_wrapper=wrapper,
        message_hub=SimpleNamespace(
            update_scalar=lambda name, value: logged.update({name: value})
        ),
    )
    images, samples = make_batch()
    # loading is another thread's work
    model.data_preprocessor.forward = lambda data, training: data
    data = dict(inputs=images, data_samples=samples)
    hook = AsyncRuntimeInfoHook()
    for step in range(3):  # the first step makes the optimizer's state
        seen.clear()
        with _Methods(seen), _Operators(seen):
            losses = model.train_step(data, wrapper)
            in_step = dict(seen)
            before = dict(logged)
            hook.after_train_iter(runner, step, data, losses)
        assert in_step == {'cpu': 1, 'numpy': 1}
        assert before != logged or step == 0
    # what comes with the next step, not with this one
    assert seen == in_step | {'tolist': 1}
    assert len(logged) > 60
    assert all(type(value) is float for value in logged.values())
    assert logged['train/grad_norm'] > 0
    assert logged['train/loss'] != float(losses['loss'])


def test_prediction(seen, make_tiny_model):
    """Who is kept, of both images at once; looked up on the host."""
    model = make_tiny_model().eval()
    images, samples = make_batch()
    with torch.no_grad(), _Methods(seen), _Operators(seen):
        model(images, samples, mode='predict')
    assert seen == {'cpu': 1, 'nonzero': 2}
