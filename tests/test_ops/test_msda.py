# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aios.ops import (
    available_kernels,
    msda,
    multi_scale_deformable_attention,
)

SHAPES = [(6, 5), (3, 4), (1, 2), (1, 1)]
KERNELS = available_kernels('cpu')


def make_inputs(
    batch=2, queries=7, heads=3, depth=4, points=2, shapes=SHAPES, seed=0
):
    """Value, locations (a quarter of them outside) and weights."""
    generator = torch.Generator().manual_seed(seed)
    options = dict(generator=generator, dtype=torch.float64)
    cells = sum(height * width for height, width in shapes)
    value = torch.randn(batch, cells, heads, depth, **options)
    samples = (batch, queries, heads, len(shapes), points)
    locations = torch.rand(*samples, 2, **options) * 1.3 - 0.15
    weights = torch.randn(samples, **options)
    return value, locations, weights


def naive(value, shapes, locations, weights):
    """The definition, sample by sample."""
    output = np.zeros((*locations.shape[:3], value.shape[-1]))
    starts = np.cumsum([0] + [h * w for h, w in shapes])
    for index in np.ndindex(*weights.shape):
        image, _, head, level, _ = index
        height, width = shapes[level]
        x, y = locations[index].tolist()
        x, y = x * width - 0.5, y * height - 0.5
        for row in (int(np.floor(y)), int(np.floor(y)) + 1):
            for column in (int(np.floor(x)), int(np.floor(x)) + 1):
                if 0 <= row < height and 0 <= column < width:
                    share = (1 - abs(y - row)) * (1 - abs(x - column))
                    cell = starts[level] + row * width + column
                    output[index[:3]] += (
                        weights[index].item()
                        * share
                        * value[image, cell, head].numpy()
                    )
    return torch.from_numpy(output).flatten(2)


@pytest.mark.parametrize('kernel', KERNELS)
def test_matches_definition(kernel):
    value, locations, weights = make_inputs()
    output = multi_scale_deformable_attention(
        value, SHAPES, locations, weights, kernel
    )
    expected = naive(value, SHAPES, locations, weights)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)


@settings(deadline=None, max_examples=30)
@given(
    shapes=st.lists(
        st.tuples(st.integers(1, 5), st.integers(1, 5)),
        min_size=1,
        max_size=5,
    ),
    batch=st.integers(1, 3),
    queries=st.integers(0, 4),
    heads=st.integers(1, 3),
    points=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_kernels_agree(shapes, batch, queries, heads, points, seed):
    value, locations, weights = make_inputs(
        batch, queries, heads, 4, points, shapes, seed
    )
    outputs = [
        multi_scale_deformable_attention(
            value, shapes, locations, weights, kernel
        )
        for kernel in KERNELS
    ]
    for output in outputs:
        assert output.shape == (batch, queries, heads * 4)
        torch.testing.assert_close(output, outputs[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize('kernel', KERNELS)
def test_gradcheck(kernel):
    inputs = make_inputs(batch=1, queries=3, heads=2, depth=2)
    inputs = [tensor.requires_grad_() for tensor in inputs]
    assert torch.autograd.gradcheck(
        lambda value, locations, weights: multi_scale_deformable_attention(
            value, SHAPES, locations, weights, kernel
        ),
        inputs,
    )


@pytest.mark.parametrize('kernel', KERNELS)
def test_borders(kernel):
    """Cell centers give the cell, edges half of it, outside is zero."""
    value = torch.tensor([4.0, 8.0]).view(1, 2, 1, 1)
    x = torch.tensor([0.25, 0.75, 0.0, 1.0, 0.5, -0.25, 1.25, 1e20])
    locations = torch.stack([x, torch.full_like(x, 0.5)], -1)
    output = multi_scale_deformable_attention(
        value,
        [(1, 2)],
        locations.view(1, 8, 1, 1, 1, 2),
        torch.ones(1, 8, 1, 1, 1),
        kernel,
    )
    expected = [4.0, 8.0, 2.0, 4.0, 6.0, 0.0, 0.0, 0.0]
    assert output.flatten().tolist() == expected


@pytest.mark.parametrize('kernel', KERNELS)
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision(kernel, dtype):
    """Only the result is rounded, also when autocast is on."""
    value, locations, weights = make_inputs()
    value, weights = value.to(dtype), weights.to(dtype)
    locations = locations.float()
    expected = naive(value.double(), SHAPES, locations, weights.double())
    for autocast in (False, True):
        with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
            output = multi_scale_deformable_attention(
                value, SHAPES, locations, weights, kernel
            )
        assert output.dtype == dtype
        torch.testing.assert_close(output, expected.to(dtype))


@pytest.mark.parametrize('kernel', KERNELS)
def test_compiles_without_graph_break(kernel):
    torch.compiler.reset()
    compiled = torch.compile(
        multi_scale_deformable_attention, fullgraph=True, backend='aot_eager'
    )
    value, locations, weights = make_inputs()
    value.requires_grad_()
    gradients = []
    for function in (compiled, multi_scale_deformable_attention):
        output = function(value, SHAPES, locations, weights, kernel)
        (gradient,) = torch.autograd.grad(output.square().sum(), value)
        gradients.append((output, gradient))
    torch.testing.assert_close(*gradients)


def test_choice_of_kernel(monkeypatch):
    called = []

    def record(value, spatial_shapes, locations, weights):
        called.append(True)
        return msda.grid_sample_kernel(
            value, spatial_shapes, locations, weights
        )

    monkeypatch.setitem(
        msda._KERNELS, 'fake', msda._Entry(record, lambda device: True)
    )
    value, locations, weights = make_inputs()

    def run(kernel='auto'):
        called.clear()
        multi_scale_deformable_attention(
            value, SHAPES, locations, weights, kernel
        )
        return bool(called)

    assert not run()
    assert run('fake')
    monkeypatch.setenv('AIOS_MSDA_KERNEL', 'fake')
    assert run()
    assert not run('grid_sample')


def test_unknown_kernel(monkeypatch):
    value, locations, weights = make_inputs()
    arguments = (value, SHAPES, locations, weights)
    with pytest.raises(ValueError, match="'fast'.*grid_sample"):
        multi_scale_deformable_attention(*arguments, kernel='fast')
    monkeypatch.setenv('AIOS_MSDA_KERNEL', 'fast')
    with pytest.raises(ValueError, match='AIOS_MSDA_KERNEL'):
        multi_scale_deformable_attention(*arguments)


def test_kernel_of_another_device():
    value, locations, weights = make_inputs()
    with pytest.raises(RuntimeError, match="'mmcv' does not run on cpu"):
        multi_scale_deformable_attention(
            value, SHAPES, locations, weights, 'mmcv'
        )


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda v, s, a, w: (v[:, 1:], s, a, w), '44 cells.*have 45'),
        (lambda v, s, a, w: (v, s[1:], a, w), r'3 levels.*\(2, 7, 3, 3, 2'),
        (lambda v, s, a, w: (v, s, a[:, 1:], w), 'attention_weights'),
        (lambda v, s, a, w: (v, s, a, w[..., 0]), 'attention_weights'),
        (lambda v, s, a, w: (v[..., 0], s, a, w), r'\(B, S, H, D\)'),
    ],
)
def test_shapes_that_do_not_fit(change, message):
    value, locations, weights = make_inputs()
    arguments = change(value, SHAPES, locations, weights)
    with pytest.raises(ValueError, match=message):
        multi_scale_deformable_attention(*arguments)
