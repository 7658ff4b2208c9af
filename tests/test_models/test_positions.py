# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Positions, masks and proposals, each alone, against the original."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmdet.models.layers import (
    SinePositionalEncoding,
    coordinate_to_encoding,
    inverse_sigmoid,
)

from aios.models import AiOS
from aios.models.layers.grids import level_box_logits, level_centers
from aios.models.layers.query_expansion import INVERSE_SIGMOID_EPS

SIZES = [(8, 10), (4, 5), (2, 3), (1, 2)]


@pytest.fixture(scope='module')
def oracle(data_dir):
    with np.load(data_dir / 'oracle/comp_positions.npz') as arrays:
        return {key: torch.from_numpy(arrays[key]) for key in arrays}


def close(ours, theirs, atol=1e-6) -> None:
    torch.testing.assert_close(ours, theirs, atol=atol, rtol=0)


def _valid_ratios(masks) -> torch.Tensor:
    features = [torch.zeros(2, 1, *size) for size in SIZES]
    return AiOS._valid_ratios(None, features, masks)


def test_picture_positions(oracle) -> None:
    encoding = SinePositionalEncoding(
        num_feats=128, temperature=20, normalize=True, offset=0.0, eps=1e-6
    )
    close(encoding(oracle['sineHW/mask'].bool()), oracle['sineHW/out'], 1e-5)


def test_box_positions(oracle) -> None:
    boxes = oracle['sine_pos/in4']
    ours = coordinate_to_encoding(boxes, num_feats=128)
    close(ours, oracle['sine_pos/out4'], 1e-5)
    points = coordinate_to_encoding(boxes[..., :2], num_feats=128)
    close(points, oracle['sine_pos/out2'], 1e-5)


def test_inverse_sigmoid(oracle) -> None:
    ours = inverse_sigmoid(oracle['inverse_sigmoid/in'], INVERSE_SIGMOID_EPS)
    close(ours, oracle['inverse_sigmoid/out'])


def test_level_masks(oracle) -> None:
    mask = oracle['interp/mask'][:, None].float()
    for height, width in ((16, 22), (8, 11), (4, 6)):
        ours = F.interpolate(mask, size=(height, width))[:, 0]
        theirs = oracle[f'interp/{height}x{width}']
        assert torch.equal(ours.to(torch.uint8), theirs)


def test_valid_ratios_and_encoder_references(oracle) -> None:
    masks = [oracle[f'ref/mask{level}'].bool() for level in range(4)]
    ratios = _valid_ratios(masks)
    close(ratios, oracle['ref/valid_ratios'])
    points = level_centers(SIZES, ratios)[:, :, None] * ratios[:, None]
    close(points, oracle['ref/points'])


def test_proposals(oracle) -> None:
    mask = oracle['proposals/mask'].bool()
    sizes = [height * width for height, width in SIZES]
    masks = [
        level.unflatten(1, size)
        for level, size in zip(mask.split(sizes, 1), SIZES, strict=True)
    ]
    proposals, is_empty = level_box_logits(SIZES, _valid_ratios(masks), mask)
    memory = oracle['proposals/memory'].masked_fill(is_empty, 0.0)
    close(memory, oracle['proposals/out_memory'])
    close(proposals, oracle['proposals/unsigmoid'], 1e-5)
    assert proposals.isinf().any()
