# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Persons start where a pose network sees them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from gt_fields import ground_truth, image_sample
from mmengine.config import Config
from mmengine.registry import DefaultScope

from aios.models.backbones.movenet import MoveNet
from aios.models.layers import PoseHints, PoseMaps, PosePrior
from aios.registry import MODELS
from aios.structures import COCO_17, joint_mapping
from aios.structures.decoding import DecodingConfig

CONFIG = Path(__file__).parents[2] / 'configs' / 'aios' / 'aios_s.py'
HEIGHT, WIDTH = 12, 16  # cells
LEFT_WRIST = COCO_17.names.index('left_wrist')
NOSE = COCO_17.names.index('nose')
BOX = torch.tensor([[[0.5, 0.5, 0.5, 0.8]]])


def empty_map():
    """A map that sees nobody."""
    return torch.zeros(1, 17 + 1 + 34 + 34, HEIGHT, WIDTH)


def put_keypoint(pose_map, joint, x, y, heat=0.9):
    """A keypoint at cells ``(x, y)``."""
    column, row = int(x), int(y)
    pose_map[0, joint, row, column] = heat
    pose_map[0, 18 + 2 * joint, row, column] = x - column
    pose_map[0, 18 + 2 * joint + 1, row, column] = y - row


def put_center(pose_map, x, y, expected, probability=0.9):
    """A person whose keypoints are ``(17, 2)`` cells away from the corner."""
    pose_map[0, 17, y, x] = probability
    pose_map[0, 52:, y, x] = expected.flatten()


@pytest.fixture
def prior():
    layer = PosePrior(embed_dims=8)
    layer.init_weights()
    return layer


def start(prior, pose_map, own, ratios=(1.0, 1.0), box=BOX):
    maps = PoseMaps.read(pose_map, torch.tensor([ratios]))
    hints = PoseHints(prior, maps, prior.read(maps, box))
    places, _ = hints.start('body_keypoints', own)
    return places[0, 0], hints


def test_is_made_without_a_word(monkeypatch):
    """MMEngine reports each weight that is initialized by itself."""
    monkeypatch.setattr(PosePrior, 'init_weights', None)
    layers = PosePrior(embed_dims=8).evidence.values()
    assert not any(layer.weight.any() or layer.bias.any() for layer in layers)


def test_keypoints_that_are_seen_start_there(prior):
    pose_map = empty_map()
    put_center(pose_map, 8, 6, torch.zeros(17, 2))
    pose_map[0, 52 + 2 * LEFT_WRIST, 6, 8] = 1.0  # expected near (9, 6)
    put_keypoint(pose_map, LEFT_WRIST, 9.75, 6.25)
    put_keypoint(pose_map, LEFT_WRIST, 2.5, 1.5, heat=0.99)  # of another
    own = torch.full((1, 1, 17, 2), 0.4)
    places, _ = start(prior, pose_map, own)
    expected = torch.tensor([9.75 / WIDTH, 6.25 / HEIGHT])
    torch.testing.assert_close(places[LEFT_WRIST], expected)


def test_hidden_keypoints_start_where_the_center_expects_them(prior):
    pose_map = empty_map()
    offsets = torch.arange(34.0).reshape(17, 2) / 10
    put_center(pose_map, 8, 6, offsets)
    own = torch.full((1, 1, 17, 2), 0.4)
    places, _ = start(prior, pose_map, own)
    size = torch.tensor([WIDTH, HEIGHT])
    torch.testing.assert_close(places, (torch.tensor([8, 6]) + offsets) / size)


def test_persons_that_are_not_seen_start_by_themselves(prior):
    own = torch.rand(1, 1, 17, 2)
    places, hints = start(prior, empty_map(), own)
    torch.testing.assert_close(places, own[0, 0])
    hand, _ = hints.start('left_hand_box', own[:, :, :1])
    torch.testing.assert_close(hand, own[:, :, :1])


def test_hands_and_faces_start_at_their_keypoints(prior):
    pose_map = empty_map()
    put_center(pose_map, 8, 6, torch.zeros(17, 2))
    put_keypoint(pose_map, LEFT_WRIST, 8.5, 6.5)
    put_keypoint(pose_map, NOSE, 8.25, 5.5)
    own = torch.full((1, 1, 17, 2), 0.1)
    places, hints = start(prior, pose_map, own)
    for part, joint in (('left_hand_box', LEFT_WRIST), ('face_box', NOSE)):
        place, added = hints.start(part, own[:, :, :1])
        torch.testing.assert_close(place[0, 0, 0], places[joint])
        assert not added.any()  # nothing is said before it is learned
    untouched, added = hints.start('left_hand_keypoints', own)
    assert untouched is own
    assert added is None


def test_padding_is_no_part_of_the_image(prior):
    """The same image, with as much black to the right and below."""
    pose_map = empty_map()
    put_center(pose_map, 8, 6, torch.rand(17, 2))
    put_keypoint(pose_map, NOSE, 8.5, 6.5)
    own = torch.full((1, 1, 17, 2), 0.4)
    alone, _ = start(prior, pose_map, own)
    padded = torch.zeros(1, 86, 2 * HEIGHT, 2 * WIDTH)
    padded[..., :HEIGHT, :WIDTH] = pose_map
    places, _ = start(prior, padded, own, ratios=(0.5, 0.5))
    torch.testing.assert_close(places, alone)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_places_have_fractions_of_cells_under_autocast(prior, dtype):
    """bfloat16 has steps of half a cell, and squares of whole tens."""
    torch.manual_seed(0)
    height, width = 69, 92
    pose_map = torch.zeros(1, 86, height, width)
    pose_map[:, :18] = torch.rand(1, 18, height, width) ** 8
    pose_map[:, 18:] = torch.rand(1, 68, height, width)
    pose_map = pose_map.bfloat16()
    box = torch.tensor([[[0.8, 0.8, 0.1, 0.2]]])
    own = torch.full((1, 1, 17, 2), 0.4)
    exact, _ = start(prior, pose_map.float(), own, box=box)
    with torch.autocast('cpu', torch.bfloat16):
        places, hints = start(prior, pose_map.to(dtype), own, box=box)
        hints.body()
    assert torch.equal(places, exact)


def test_nearer_center_wins(prior):
    pose_map = empty_map()
    put_center(pose_map, 3, 3, torch.zeros(17, 2), probability=0.95)
    put_center(pose_map, 8, 6, torch.zeros(17, 2), probability=0.6)
    maps = PoseMaps.read(pose_map, torch.ones(1, 2))
    boxes = torch.tensor(
        [[[3.5 / WIDTH, 3.5 / HEIGHT, 0.3, 0.3], BOX[0, 0].tolist()]]
    )
    reading = prior.read(maps, boxes)
    assert reading.center[0, 0] == pytest.approx(0.95, abs=0.02)
    assert reading.center[0, 1] == pytest.approx(0.6, abs=0.05)
    swapped = reading.take(torch.tensor([[1, 0]]))
    torch.testing.assert_close(swapped.center, reading.center.flip(1))
    torch.testing.assert_close(swapped.expected, reading.expected.flip(1))


def test_evidence_tells_persons_from_things(prior):
    pose_map = empty_map()
    nobody = PoseMaps.read(pose_map.clone(), torch.ones(1, 2))
    put_center(pose_map, 8, 6, torch.zeros(17, 2))
    for joint in range(17):
        put_keypoint(pose_map, joint, 8.5, 6.5)
    somebody = PoseMaps.read(pose_map, torch.ones(1, 2))
    no, yes = (
        prior.logit(prior.read(maps, BOX)).item()
        for maps in (nobody, somebody)
    )
    assert no == pytest.approx(0.5 * -6.9, abs=0.1)  # logit of 0.001
    assert yes == pytest.approx(0.5 * 2.0, abs=0.2)


def test_map_of_movenet():
    """Of four places in a cell, that with the highest heat counts."""
    torch.manual_seed(0)
    backbone = MoveNet(pose_maps=True).eval()
    image = torch.rand(1, 3, 50, 64)
    *features, pose_map = backbone(image)
    assert len(features) == 3
    assert pose_map.shape == (1, 86, 7, 8)
    _, (level, *_) = backbone.extract(
        torch.nn.functional.pad(image, (0, 0, 0, 14), value=-1.0)
    )
    heat = backbone.heads['kpt_heatmap'](level)[0, NOSE, 2:4, 4:6]
    row, column = divmod(int(heat.argmax()), 2)
    offset = backbone.heads['kpt_offset'](level)
    y, x = offset[0, 2 * NOSE : 2 * NOSE + 2, 2 + row, 4 + column]
    expected = torch.stack([(column + x) / 2, (row + y) / 2])
    ours = pose_map[0, 18 + 2 * NOSE : 20 + 2 * NOSE, 1, 2]
    torch.testing.assert_close(ours, expected)
    assert pose_map[0, NOSE, 1, 2] == pytest.approx(
        heat.max().sigmoid().item()
    )


@pytest.fixture
def model():
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('aios'):
        config = Config.fromfile(CONFIG).model
        # Random weights predict nearly the same box for all candidates.
        config.test_cfg.update(nms_iou_thr=-1, nms_oks_thr=-1, nms_head_thr=-1)
        model = MODELS.build(config)
        model.init_weights()
    return model.eval()


def test_a_trained_backbone_leaves_no_parameter_unused():
    """DDP would wait for its gradient."""
    with DefaultScope.overwrite_default_scope('aios'):
        config = Config.fromfile(CONFIG).model
        config.backbone.first_trained = 17
        model = MODELS.build(config).train()
    sample = image_sample((64, 96), persons=ground_truth(2, (64, 96)))
    losses = model(torch.rand(1, 3, 64, 96), [sample], mode='loss')
    sum(losses.values()).backward()
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert any(name.startswith('backbone.heads') for name in trained)
    assert not [name for name, p in trained.items() if p.grad is None]


def test_detector_takes_the_map_past_the_neck(model):
    images = torch.rand(2, 3, 96, 128)
    samples = [
        image_sample((96, 128)),
        image_sample((64, 100), batch_input_shape=(96, 128)),
    ]
    features = model.extract_feat(images)
    assert len(features) == model.num_feature_levels + 1
    persons = [x.pred_instances for x in model.predict(images, samples)]
    assert all(len(x) == 10 for x in persons)
    with pytest.raises(ValueError, match='num_feature_levels is 3.*has 2'):
        model.forward_transformer(features[1:], samples)


def test_evidence_is_in_scores(model):
    """A map that sees nobody takes from every score what it may."""
    images = torch.rand(1, 3, 96, 128)
    *features, pose_map = model.extract_feat(images)

    def scores(value):
        blank = torch.zeros_like(pose_map)
        blank[:, :18] = value
        inputs = model.forward_transformer(
            (*features, blank), [image_sample((96, 128))]
        )
        outputs = model.bbox_head.forward_last(**inputs)
        return outputs.logits.sigmoid()

    assert scores(0.99).min() > 10 * scores(0.0).max()


@torch.no_grad()
def test_results_have_the_keypoints_that_are_seen(model):
    """Their own keypoints are all the network is trained on."""
    images = torch.rand(1, 3, 96, 128)
    samples = [image_sample((96, 128))]
    *features, pose_map = model.extract_feat(images)
    blank = torch.zeros_like(pose_map)
    blank[:, :17] = 0.9
    blank[:, 18:52] = 0.25  # of a cell, where nothing starts by itself
    for weight in model.bbox_head.branches.parameters():
        torch.nn.init.normal_(weight, std=0.1)

    def keypoints(heat, training=False):
        blank[:, NOSE] = heat
        inputs = model.forward_transformer((*features, blank), samples)
        sizes = torch.tensor([[128.0, 96]])
        model.bbox_head.train(training)
        layer = model.bbox_head.forward_layer(2, inputs['states'][2], sizes)
        model.bbox_head.eval()
        return layer.points['body_keypoints'] * sizes, layer

    seen, layer = keypoints(0.9)
    assert layer.keypoint_scores.min() > 0.5
    remainder = seen[:, :, NOSE] % 8  # cells of 8 pixels
    torch.testing.assert_close(
        remainder, torch.full_like(remainder, 2), atol=1e-3, rtol=0
    )
    hidden, _ = keypoints(0.0)
    own, untouched = keypoints(0.9, training=True)
    assert untouched.keypoint_scores is None
    assert (hidden[:, :, NOSE] - seen[:, :, NOSE]).abs().max() > 0.1
    assert (own[:, :, LEFT_WRIST] - seen[:, :, LEFT_WRIST]).abs().max() > 0.1


@torch.no_grad()
def test_bodies_are_fitted_to_the_keypoints(model):
    images = torch.rand(1, 3, 96, 128)
    samples = [image_sample((96, 128))]
    inputs = model.forward_transformer(model.extract_feat(images), samples)
    outputs = model.bbox_head.forward_last(**inputs)
    results = [
        model.bbox_head.predict(
            outputs,
            samples,
            decoding=DecodingConfig(keypoint_fit_steps=steps),
        )[0]
        for steps in (0, 4)
    ]
    joints = joint_mapping('smplx_144', 'coco', approximate=True)
    before, after = (
        (x.joints2d[:, joints] - x.keypoints).norm(dim=-1).mean()
        for x in results
    )
    assert after < before
    with pytest.raises(ValueError, match='keypoint_fit_steps'):
        DecodingConfig(keypoint_fit_steps=-1)


@pytest.mark.parametrize(
    ('x', 'heat', 'is_seen'),
    [(8.5, 0.9, True), (8.5, 0.2, False), (WIDTH - 0.1, 0.9, False)],
    ids=['inside', 'faint', 'at the border'],
)
def test_sightings_are_what_is_clearly_in_the_image(prior, x, heat, is_seen):
    """Of persons who are cut off the maps show the rest somewhere."""
    pose_map = empty_map()
    put_keypoint(pose_map, NOSE, x, 6.5, heat)
    own = torch.full((1, 1, 17, 2), 0.4)
    own[..., 0] = x / WIDTH
    _, hints = start(prior, pose_map, own)
    sightings = hints.sightings
    assert sightings.is_seen[0, 0, NOSE] == is_seen
    assert (sightings.heat[0, 0, NOSE] > 0) == is_seen
    place = sightings.over(own)[0, 0, NOSE, 1]
    assert place == pytest.approx(6.5 / HEIGHT if is_seen else 0.4)
