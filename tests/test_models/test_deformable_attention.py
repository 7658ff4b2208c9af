# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest
import torch
from oracle_weights import fill

from aios.models.layers.deformable_attention import DeformableAttention
from aios.registry import MODELS

ORIGINAL = {
    'enc': 'transformer.encoder.layers.0.self_attn',
    'dec': 'transformer.decoder.layers.0.cross_attn',
}


@pytest.fixture(scope='module')
def oracle(data_dir):
    with np.load(data_dir / 'oracle/comp_deform.npz') as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def filled(prefix):
    attention = DeformableAttention()
    attention.load_state_dict(
        {
            name: torch.from_numpy(fill(f'{prefix}.{name}', tensor.shape))
            for name, tensor in attention.state_dict().items()
        }
    )
    return attention


@pytest.mark.parametrize('part', ['enc', 'dec'])
def test_original(oracle, part):
    """Points (encoder) and boxes (decoder): output and gradients."""
    attention = filled(ORIGINAL[part]).double()
    inputs = {
        name: oracle[f'{part}/{name}'].double().requires_grad_()
        for name in ('query', 'ref', 'src')
    }
    shapes = [tuple(shape) for shape in oracle['core/shapes'].tolist()]
    output = attention(
        inputs['query'],
        value=inputs['src'],
        identity=torch.zeros_like(inputs['query']),
        key_padding_mask=oracle[f'{part}/mask'].bool(),
        reference_points=inputs['ref'],
        spatial_shapes=shapes,
    )
    (output * oracle[f'{part}/outweight']).sum().backward()
    close = dict(rtol=1e-4, atol=2e-5, check_dtype=False)
    torch.testing.assert_close(output, oracle[f'{part}/out'], **close)
    for name, tensor in inputs.items():
        stride = int(oracle.get(f'{part}/grad/{name}/stride', 1))
        expected = oracle[f'{part}/grad/{name}'].flatten()
        grad = tensor.grad.flatten()[::stride]
        torch.testing.assert_close(grad, expected, **close)


def mmcv_module(**kwargs):
    return MODELS.build(dict(type='MultiScaleDeformableAttention', **kwargs))


@pytest.mark.parametrize('size', [2, 4])
def test_same_as_mmcv(size):
    torch.manual_seed(0)
    arguments = dict(embed_dims=32, num_heads=4, num_levels=2, num_points=3)
    theirs = mmcv_module(**arguments, dropout=0.0, batch_first=True)
    ours = MODELS.build(dict(type='DeformableAttention', **arguments))
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    ours.load_state_dict(theirs.state_dict())
    shapes = [(4, 3), (2, 2)]
    inputs = dict(
        query=torch.randn(2, 5, 32),
        value=torch.randn(2, 16, 32),
        query_pos=torch.randn(2, 5, 32),
        key_padding_mask=torch.rand(2, 16) < 0.3,
        reference_points=torch.rand(2, 5, 2, size),
    )
    expected = theirs(**inputs, spatial_shapes=torch.tensor(shapes))
    torch.testing.assert_close(ours(**inputs, spatial_shapes=shapes), expected)


def test_starts_like_mmcv():
    ours = DeformableAttention().state_dict()
    theirs = mmcv_module().state_dict()
    assert ours.keys() == theirs.keys()
    for name in ('sampling_offsets.bias', 'attention_weights.weight'):
        assert torch.equal(ours[name], theirs[name])


def test_bfloat16_keeps_locations_exact():
    """Half a pixel of 200 is lost if locations become bfloat16."""
    torch.manual_seed(0)
    shapes = [(1, 200)]
    attention = DeformableAttention(8, 1, 1, 1)
    attention.sampling_offsets.bias.data.zero_()
    inputs = dict(
        query=torch.zeros(1, 1, 8),
        value=torch.linspace(0, 1, 200).view(1, 200, 1).expand(1, 200, 8),
        reference_points=torch.tensor([150.5 / 200, 0.5]).view(1, 1, 1, 2),
    )
    expected = attention(**inputs, spatial_shapes=shapes)
    with torch.autocast('cpu', torch.bfloat16):
        output = attention(**inputs, spatial_shapes=shapes)
    torch.testing.assert_close(output.float(), expected, rtol=0.02, atol=0.01)


def test_bad_arguments():
    with pytest.raises(ValueError, match='batch_first'):
        DeformableAttention(batch_first=False)
    attention = DeformableAttention(8, 1, 1, 1)
    query = torch.zeros(1, 4, 8)
    with pytest.raises(ValueError, match='reference_points'):
        attention(query)
    with pytest.raises(
        ValueError, match=r'boxes \(1, 4, 1, 4\), got \(1, 4, 1, 3\)'
    ):
        attention(
            query,
            reference_points=torch.zeros(1, 4, 1, 3),
            spatial_shapes=[(2, 2)],
        )
