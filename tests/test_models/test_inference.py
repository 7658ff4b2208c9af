# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What is rearranged for inference gives the results it gave before."""

from __future__ import annotations

import pytest
import torch
from gt_fields import image_sample
from torch import nn

from aios.models.inference import prepare_for_inference

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
    """Predictions of two images, one of them padded."""
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(2, 3, *SIZE, generator=generator)
    samples = [
        image_sample(shape, batch_input_shape=SIZE)
        for shape in (SIZE, (80, 112))
    ]
    with torch.no_grad():
        results = model(images, samples, mode='predict')
    return [
        {name: torch.as_tensor(x) for name, x in result.pred_instances.items()}
        for result in results
    ]


def test_results_stay(model):
    before = predict(model)
    assert prepare_for_inference(model) is model
    assert not any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
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
