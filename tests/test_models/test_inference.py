# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What is rearranged for inference gives the results it gave before."""

from __future__ import annotations

import copy

import pytest
import torch
from mmdet.structures import DetDataSample
from torch import nn

from aios.models.inference import (
    OneDnnLinear,
    onednn_is_faster,
    prepare_for_inference,
)

needs_onednn = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason='torch without oneDNN'
)
SIZE = (96, 128)


@pytest.fixture
def model(make_tiny_model):
    """A detector whose batch norms do something."""
    model = make_tiny_model().eval()
    generator = torch.Generator().manual_seed(1)
    for name, tensor in model.named_buffers():
        if name.endswith('running_mean'):
            tensor.normal_(std=0.1, generator=generator)
        elif name.endswith('running_var'):
            tensor.uniform_(0.5, 2, generator=generator)
    return model


def predict(model):
    """Predictions of two pictures, one of them padded."""
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(2, 3, *SIZE, generator=generator)
    samples = [
        DetDataSample(
            metainfo=dict(
                img_shape=shape,
                ori_shape=shape,
                batch_input_shape=SIZE,
                scale_factor=(1.0, 1.0),
            )
        )
        for shape in (SIZE, (80, 112))
    ]
    with torch.no_grad():
        results = model(images, samples, mode='predict')
    return [
        {name: torch.as_tensor(x) for name, x in result.pred_instances.items()}
        for result in results
    ]


@pytest.mark.parametrize(
    'onednn', [False, pytest.param(True, marks=needs_onednn)]
)
def test_results_stay(model, onednn):
    before = predict(model)
    linear = type(model.memory_trans_fc)
    assert prepare_for_inference(model, onednn=onednn) is model
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
    wanted = OneDnnLinear if onednn else linear
    assert type(model.memory_trans_fc) is wanted
    for ours, plain in zip(predict(model), before, strict=True):
        assert ours.keys() == plain.keys()
        for name, value in plain.items():
            torch.testing.assert_close(
                ours[name],
                value,
                rtol=1e-3,
                atol=1e-4 * float(value.abs().max().clamp(min=1)),
                msg=lambda text, name=name: f'{name}: {text}',
            )


def test_twice_is_once(model):
    prepare_for_inference(model)
    first = predict(model)
    prepare_for_inference(model)
    for ours, plain in zip(predict(model), first, strict=True):
        assert all(torch.equal(ours[name], plain[name]) for name in plain)


def test_a_model_in_training_is_refused(model):
    with pytest.raises(ValueError, match=r'model\.eval'):
        prepare_for_inference(model.train())


def test_missing_onednn_is_told(model, monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, 'is_available', lambda: False)
    with pytest.raises(RuntimeError, match='no oneDNN'):
        prepare_for_inference(model, onednn=True)
    onednn_is_faster.cache_clear()
    assert not onednn_is_faster()
    onednn_is_faster.cache_clear()


@needs_onednn
@pytest.mark.parametrize('shape', [(7, 16), (2, 5, 16), (0, 16), (16,)])
@pytest.mark.parametrize('bias', [True, False])
def test_linear_equals_torch(shape, bias):
    torch.manual_seed(0)
    ours = OneDnnLinear(16, 24, bias=bias)
    plain = nn.Linear(16, 24, bias=bias)
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(*shape)
    with torch.inference_mode():
        torch.testing.assert_close(ours(x), plain(x))
        mixed = x.movedim(0, -1).contiguous().movedim(-1, 0)
        torch.testing.assert_close(ours(mixed), plain(mixed))
        with torch.autocast('cpu', torch.bfloat16):
            assert torch.equal(ours(x), plain(x))
        doubles = copy.deepcopy(ours).double(), plain.double()
        assert torch.equal(*(layer(x.double()) for layer in doubles))


@needs_onednn
def test_linear_is_onednn_unless_gradients_are_wanted():
    layer = OneDnnLinear(16, 24)
    x = torch.randn(5, 16)
    ran = []
    for grad in (False, True):
        with torch.profiler.profile() as profile, torch.set_grad_enabled(grad):
            result = layer(x)
        names = {event.key for event in profile.key_averages()}
        ran.append('mkldnn::_linear_pointwise' in names)
    assert ran == [True, False]
    result.sum().backward()
    assert torch.equal(layer.bias.grad, torch.full((24,), 5.0))
