# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch

from aios.models.layers.deformable_attention import DeformableAttention
from aios.registry import MODELS


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
