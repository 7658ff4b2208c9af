# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What a step brings to the device, and whether it waits there.

A copy from ordinary memory waits until the device has done all that was asked
of it before.  Tensors of the device ``meta`` have no numbers: whatever reads
one of them raises an error, and what is copied there is seen.
"""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack, nullcontext

import numpy as np
import pytest
import torch
from mmengine.model import ExponentialMovingAverage
from mmengine.optim import build_optim_wrapper
from test_backbones import make_batch
from torch import Tensor
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from aios.models.data_preprocessors import whole_body
from aios.models.task_modules import assigner

META = torch.device('meta')
# These make a tensor of Python's numbers and bring it to the device.
FACTORIES = {'torch.tensor', 'torch.as_tensor', 'torch.Tensor.new_tensor'}
INDEXING = {'torch.Tensor.__getitem__', 'torch.Tensor.__setitem__'}


def tensors_of(*values) -> list[Tensor]:
    return [x for x in tree_leaves(values) if isinstance(x, Tensor)]


class _Copies(TorchDispatchMode):
    """Copies between devices, of which all but a number wait."""

    def __init__(self, seen: Counter) -> None:
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func.__name__.split('.')[0]
        result = func(*args, **kwargs)
        devices = {
            x.device.type
            for x in tensors_of(args, kwargs, result)
            if x.ndim or name == '_to_copy'
        }
        queued = kwargs.get('non_blocking') or (name == 'copy_' and args[2:3])
        if len(devices) > 1 and not queued:
            self.seen[name] += 1
        return result


class _Numbers(TorchFunctionMode):
    """Python's numbers that become tensors of the device."""

    def __init__(self, seen: Counter) -> None:
        super().__init__()
        self.seen = seen

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = resolve_name(func)
        result = func(*args, **kwargs)
        if name in FACTORIES and result.device == META:
            self.seen[name] += not isinstance(args[0], Tensor) or len(args) > 1
        if name in INDEXING and args[0].device == META:
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            if any(isinstance(x, list | np.ndarray) for x in index):
                self.seen[name] += 1
        return result


@pytest.fixture
def pinned(monkeypatch) -> list[Tensor]:
    """Tensors that went to page-locked memory; ``meta`` is like a GPU."""
    pinned: list[Tensor] = []

    def pin_memory(tensor: Tensor) -> Tensor:
        pinned.append(tensor)
        return tensor

    monkeypatch.setattr(Tensor, 'pin_memory', pin_memory)
    monkeypatch.setattr(whole_body, 'FETCHING', {'cuda', 'meta'})
    monkeypatch.setattr(torch, 'autocast', lambda *_, **__: nullcontext())
    monkeypatch.setenv('AIOS_MSDA_KERNEL', 'grid_sample')
    return pinned


@pytest.fixture
def matched(monkeypatch) -> list[int]:
    """How often persons were matched; there are no costs to look at."""
    matched: list[int] = []

    def solve(costs, counts):
        matched.append(len(costs))
        return [np.stack([np.arange(sum(counts))] * 2) for _ in costs]

    monkeypatch.setattr(assigner, '_solve', solve)
    return matched


def test_all_of_these_are_seen():
    seen = Counter()
    host, device = torch.ones(3), torch.ones(3, device=META)
    with _Copies(seen), _Numbers(seen):
        host.to(META)
        host.to(META, non_blocking=True)
        device.copy_(host)
        device.copy_(host, True)
        device.new_tensor([1.0, 2.0])
        torch.tensor([1.0], device=META)
        torch.as_tensor([1.0], device=META)
        device[[2, 1, 0]]
        device[[0]] = 1.0
        device + torch.tensor(2.0)  # a number, which is an argument
    assert seen['torch.Tensor.__getitem__'] == 1
    assert seen['torch.Tensor.__setitem__'] == 1
    assert seen['torch.Tensor.new_tensor'] == 1
    assert seen['torch.tensor'] == seen['torch.as_tensor'] == 1
    assert seen['_to_copy'] >= 1 and seen['copy_'] == 1
    assert seen['add'] == 0


def test_step_of_training(make_shallow_model, pinned, matched):
    """Nothing waits but the matching, which test_host_transfers counts."""
    model = make_shallow_model().train().to(META)
    averaged = ExponentialMovingAverage(model, update_buffers=True)
    wrapper = build_optim_wrapper(
        model,
        dict(
            type='aios.AsyncOptimWrapper',
            optimizer=dict(type='AdamW', lr=1e-4),
            clip_grad=dict(max_norm=0.1, norm_type=2),
        ),
    )
    seen = Counter()
    # the first step brings the body model there
    for modes in ([], [_Copies(seen), _Numbers(seen)]):
        images, samples = make_batch()
        pinned.clear(), matched.clear()
        with ExitStack() as stack:
            for mode in modes:
                stack.enter_context(mode)
            data = dict(inputs=list(images), data_samples=samples)
            losses = model.train_step(data, wrapper)
            averaged.update_parameters(model)
    assert seen == {}
    assert len(matched) == 1
    assert losses['loss'].device == META
    fields = [x for s in samples for x in s.gt_instances.values()]
    assert len(pinned) == len(images) + len(fields)


def test_forward(make_shallow_model, pinned):
    model = make_shallow_model().eval().to(META)
    images, samples = make_batch()
    seen = Counter()
    with torch.no_grad(), _Copies(seen), _Numbers(seen):
        data = model.data_preprocessor(
            dict(inputs=list(images), data_samples=samples)
        )
        model(**data, mode='tensor')
    assert seen == {}
