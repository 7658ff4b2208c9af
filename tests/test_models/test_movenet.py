# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""MoveNet as a backbone, with random weights."""

from __future__ import annotations

import pytest
import torch
from gt_fields import image_sample
from mmengine.hub import get_config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from aios.models import MoveNet
from aios.registry import MODELS

BLACK = -1
SIZE = 90, 120


def use_movenet():
    """What a config of a detector changes."""
    return dict(
        data_preprocessor=dict(
            mean=[127.5] * 3, std=[127.5] * 3, pad_value=BLACK
        ),
        backbone=dict(_delete_=True, type='aios.MoveNet'),
        neck=dict(in_channels=[90, 272, 304]),
    )


@pytest.fixture
def backbone():
    torch.manual_seed(0)
    return MoveNet()


@pytest.mark.parametrize('size', [(64, 96), (45, 70), (1, 33)])
def test_sizes(backbone, size):
    maps = backbone(torch.rand(2, 3, *size))
    strides_and_channels = [(8, 90), (16, 272), (32, 304)]
    assert len(maps) == len(strides_and_channels)
    for feature_map, (stride, channels) in zip(
        maps, strides_and_channels, strict=True
    ):
        rounded_up = [-(-edge // stride) for edge in size]
        assert list(feature_map.shape) == [2, channels, *rounded_up]


def test_same_with_and_without_gradients(backbone):
    """At inference on a CPU convolutions and ReLUs are one operator."""
    image = torch.rand(1, 3, 64, 96) * 4 - 2
    with_gradients = backbone(image)
    with torch.no_grad():
        without = backbone(image)
    torch.testing.assert_close(without, with_gradients, rtol=1e-4, atol=1e-5)


def test_autocast_at_inference(backbone):
    with torch.no_grad(), torch.autocast('cpu', torch.bfloat16):
        assert backbone.stem.relu6(torch.rand(1, 3, 64, 96)).dtype == (
            torch.bfloat16
        )


def test_pads_with_black(backbone):
    image = torch.rand(1, 3, 45, 70)
    padded = torch.full((1, 3, 64, 96), BLACK, dtype=image.dtype)
    padded[..., :45, :70] = image
    for ours, whole in zip(backbone(image), backbone(padded), strict=True):
        height, width = ours.shape[-2:]
        torch.testing.assert_close(ours, whole[..., :height, :width])


def test_padding_of_tensorflow(backbone):
    """SAME at stride 2 puts nothing before an even image, one line behind."""
    stem = backbone.stem
    stem.weight.fill_(1)
    stem.bias.zero_()
    out = stem(torch.ones(1, 3, 4, 6))[0, 0]
    assert out.tolist() == [[27, 27, 18], [18, 18, 12]]


def test_standardizes(backbone):
    image = torch.rand(1, 3, 32, 64)
    raw = backbone(image)
    for stride, channels in zip((8, 16, 32), (90, 272, 304), strict=True):
        getattr(backbone, f'mean_{stride}').copy_(torch.rand(channels))
        getattr(backbone, f'std_{stride}').copy_(torch.rand(channels) + 1)
    for before, after, stride in zip(
        raw, backbone(image), (8, 16, 32), strict=True
    ):
        mean = getattr(backbone, f'mean_{stride}').reshape(1, -1, 1, 1)
        std = getattr(backbone, f'std_{stride}').reshape(1, -1, 1, 1)
        torch.testing.assert_close(after * std + mean, before)


def test_heat_maps_are_probabilities(backbone):
    fine, _, _ = backbone(torch.rand(1, 3, 32, 64))
    heat_maps = fine[:, -18:]
    assert (heat_maps > 0).all()
    assert (heat_maps < 1).all()


def test_frozen(backbone):
    backbone.train()
    assert not any(p.requires_grad for p in backbone.parameters())
    maps = backbone(torch.rand(1, 3, 32, 32))
    assert not any(feature_map.requires_grad for feature_map in maps)
    backbone.eval()
    torch.manual_seed(1)
    image = torch.rand(1, 3, 32, 32)
    in_eval = backbone(image)
    for a, b in zip(in_eval, backbone.train()(image), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize('first', [0, 13, 17])
def test_trains_from_a_block_on(first):
    backbone = MoveNet(first_trained=first).train()
    maps = backbone(torch.rand(2, 3, 32, 64))
    sum(feature_map.square().sum() for feature_map in maps).backward()
    for name, parameter in backbone.named_parameters():
        part, _, rest = name.partition('.')
        below = part == 'stem' or (
            part == 'blocks' and int(rest.partition('.')[0]) < first
        )
        is_trained = first == 0 or not below
        assert (parameter.grad is not None) == is_trained, name


@pytest.mark.parametrize('first', [-1, 18])
def test_refuses_other_blocks(first):
    with pytest.raises(ValueError, match=f'None or 0 to 17, got {first}'):
        MoveNet(first_trained=first)


def test_channels_last(backbone):
    image = torch.rand(2, 3, 45, 70)
    expected = backbone(image)
    backbone.to(memory_format=torch.channels_last)
    image = image.contiguous(memory_format=torch.channels_last)
    for ours, theirs in zip(backbone(image), expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


class TestInDetectors:
    def test_dino_of_mmdet(self):
        config = get_config('mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py')
        changes = dict(
            **use_movenet(),
            num_queries=20,
            encoder=dict(num_layers=1),
            decoder=dict(num_layers=2),
        )
        config.merge_from_dict(dict(model=changes))
        torch.manual_seed(0)
        with DefaultScope.overwrite_default_scope('mmdet'):
            model = MODELS.build(config.model).train()
            model.init_weights()
        assert isinstance(model.backbone, MoveNet)
        persons = InstanceData(
            bboxes=torch.tensor([[10.0, 20, 70, 80]]), labels=torch.tensor([0])
        )
        sample = image_sample(SIZE, persons)
        image = torch.randint(0, 256, (3, 90, 120), dtype=torch.uint8)
        batch = dict(inputs=[image], data_samples=[sample])
        data = model.data_preprocessor(batch, training=True)
        losses = model(**data, mode='loss')
        total, _ = model.parse_losses(losses)
        assert torch.isfinite(total)
        total.backward()
        assert model.neck.convs[0].conv.weight.grad.any()
        found = model.eval()(**data, mode='predict')[0].pred_instances
        assert len(found) > 0

    def test_aios(self, make_tiny_model):
        model = make_tiny_model(**use_movenet()).eval()
        assert isinstance(model.backbone, MoveNet)
        image = torch.randint(0, 256, (3, 90, 120), dtype=torch.uint8)
        batch = dict(inputs=[image], data_samples=[image_sample(SIZE)])
        found = model.test_step(batch)[0].pred_instances
        assert len(found) > 0
        assert torch.isfinite(found.keypoints).all()
