# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The whole model, in its tiny configuration."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from gt_fields import image_sample
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import Tensor

from aios.models import AiOS
from aios.models.heads import SMPLXBranch
from aios.structures import TOKEN_LAYOUTS
from aios.structures.decoding import DecodingConfig

FIELDS = {
    'scores': (),
    'labels': (),
    'bboxes': (4,),
    'lhand_bboxes': (4,),
    'rhand_bboxes': (4,),
    'face_bboxes': (4,),
    'keypoints': (17, 2),
    'lhand_keypoints': (6, 2),
    'rhand_keypoints': (6, 2),
    'face_keypoints': (6, 2),
    'smplx_global_orient': (3,),
    'smplx_body_pose': (63,),
    'smplx_left_hand_pose': (45,),
    'smplx_right_hand_pose': (45,),
    'smplx_jaw_pose': (3,),
    'smplx_betas': (10,),
    'smplx_expression': (10,),
    'smplx_transl': (3,),
    'joints3d': (144, 3),
    'joints2d': (144, 2),
    'vertices': (10475, 3),
}


@pytest.fixture
def model(make_tiny_model: Callable[..., AiOS]) -> AiOS:
    return make_tiny_model().eval()


def images(*sizes: tuple[int, int]) -> tuple[Tensor, list[DetDataSample]]:
    shape = tuple(max(side) for side in zip(*sizes, strict=True))
    batch = torch.zeros(len(sizes), 3, *shape)
    for image, (height, width) in zip(batch, sizes, strict=True):
        image[:, :height, :width] = torch.randn(3, height, width)
    samples = [
        image_sample(
            size,
            batch_input_shape=shape,
            # they were resized to half their size
            ori_shape=(2 * size[0], 2 * size[1]),
            scale_factor=(0.5, 0.5),
        )
        for size in sizes
    ]
    return batch, samples


def predict(model: AiOS, *sizes: tuple[int, int]) -> list[InstanceData]:
    batch, samples = images(*sizes)
    with torch.no_grad():
        results = model(batch, samples, mode='predict')
    return [result.pred_instances for result in results]


def check_fields(persons: InstanceData, count: int) -> None:
    assert set(persons.keys()) == set(FIELDS)
    for field, shape in FIELDS.items():
        assert persons[field].shape == (count, *shape), field
        assert persons[field].isfinite().all(), field
    assert persons.cam_K.shape == (3, 3)


def test_predict(model) -> None:
    torch.manual_seed(0)
    persons = predict(model, (96, 128), (80, 64))
    for result in persons:
        check_fields(result, 20)
        assert (result.scores.diff() <= 0).all()


@torch.no_grad()
@pytest.mark.parametrize('layout', ['body_refinement', 'whole_body'])
def test_all_persons_starts_upright_and_faces_the_camera(layout) -> None:
    layout = TOKEN_LAYOUTS[layout]
    branch = SMPLXBranch(layout, 8)
    branch.init_weights()
    persons = branch(torch.randn(1, 3, len(layout), 8))
    root, body = persons.body_pose.split([1, 21], dim=2)
    upright = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    torch.testing.assert_close(root, upright.expand_as(root))
    for rest in (body, persons.left_hand_pose, persons.jaw_pose):
        torch.testing.assert_close(rest, torch.eye(3).expand_as(rest))


@pytest.mark.parametrize(
    'sizes', [[(1, 1)], [(1, 1), (64, 96)], [(1, 200)], [(300, 1)]]
)
def test_images_of_one_pixel(sizes, model) -> None:
    """There are fewer positions than queries, or nearly all is padding."""
    for result in predict(model, *sizes):
        check_fields(result, len(result))
        assert len(result)


def test_no_person_above_the_threshold(model) -> None:
    model.bbox_head.test_cfg = dict(score_thr=1.1)
    for result in predict(model, (64, 64), (32, 64)):
        check_fields(result, 0)
        assert result.scores.dtype == torch.float32
        assert result.labels.dtype == torch.int64


def test_weights_that_became_nan_find_no_person(model) -> None:
    for classifier in model.bbox_head.cls_branches:
        torch.nn.init.constant_(classifier.bias, torch.nan)
    (result,) = predict(model, (64, 64))
    assert len(result) == 0


def test_camera_and_joints_agree(model) -> None:
    """Joints land where the camera of the result puts them."""
    torch.manual_seed(0)
    (result,) = predict(model, (96, 128))
    joints = result.joints3d + result.smplx_transl[:, None]
    projected = joints @ torch.from_numpy(result.cam_K).float().T
    projected = projected[..., :2] / projected[..., 2:]
    torch.testing.assert_close(projected, result.joints2d)
    # 5000 pixels for the network are 10000 in an image of twice the size.
    assert result.cam_K[0].tolist() == [10000, 0, 128]
    assert result.cam_K[1].tolist() == [0, 10000, 96]


@pytest.mark.parametrize('meta', ['scale_factor', 'ori_shape'])
def test_rescale(meta, model) -> None:
    torch.manual_seed(0)
    batch, samples = images((96, 128))
    other = {'scale_factor', 'ori_shape'} - {meta}
    samples[0].set_metainfo({meta: samples[0].metainfo[meta]})
    samples[0].pop(other.pop())
    with torch.no_grad():
        features = model.extract_feat(batch)
        inputs = model.forward_transformer(features, samples)
        outputs = model.bbox_head.forward_last(**inputs)
        (seen,) = model.bbox_head.predict(outputs, samples, rescale=False)
        (original,) = model.bbox_head.predict(outputs, samples)
    for field in FIELDS:
        pixels = field.endswith(('boxes', 'keypoints', 'joints2d'))
        torch.testing.assert_close(
            original[field], seen[field] * (2 if pixels else 1)
        )


def test_suppression(model) -> None:
    torch.manual_seed(0)
    (every,) = predict(model, (96, 128))
    model.bbox_head.test_cfg = dict(
        max_per_img=20, nms_iou_thr=0.0, person_class_only=True
    )
    torch.manual_seed(0)
    (apart,) = predict(model, (96, 128))
    assert 0 < len(apart) < len(every)
    assert (apart.labels == 1).all()
    low = torch.maximum(apart.bboxes[:, None, :2], apart.bboxes[None, :, :2])
    high = torch.minimum(apart.bboxes[:, None, 2:], apart.bboxes[None, :, 2:])
    overlap = (high - low).clamp(min=0).prod(-1)
    assert (overlap.triu(1) == 0).all()


def test_each_person_once(model) -> None:
    """Pairs of person and class are ranked unless one asks otherwise."""
    model.bbox_head.test_cfg = dict(max_per_img=40)
    (pairs,) = predict(model, (64, 64))
    assert len(pairs) == 40 and set(pairs.labels.tolist()) == {0, 1}
    model.bbox_head.test_cfg = dict(max_per_img=40, person_class_only=True)
    (persons,) = predict(model, (64, 64))
    assert len(persons) == 20


def test_max_candidates(model) -> None:
    torch.manual_seed(0)
    batch, samples = images((96, 128))
    with torch.no_grad():
        full = model(batch, samples, mode='tensor')
        model.bbox_head.test_cfg = dict(max_candidates=3)
        some = model(batch, samples, mode='tensor')
        assert [len(x.logits[0]) for x in some.layers] == [100] * 2 + [3] * 4
        model.bbox_head.test_cfg = dict(max_candidates=20)
        same = model(batch, samples, mode='tensor')
    assert [len(x.logits[0]) for x in full.layers] == [100] * 2 + [20] * 4
    torch.testing.assert_close(same.layers[-1].boxes, full.layers[-1].boxes)
    options = DecodingConfig(max_candidates=4, person_class_only=True)
    with torch.no_grad():
        (result,) = model.predict(batch, samples, decoding=options)
    assert len(result.pred_instances) == 4


def test_without_vertices(model) -> None:
    model.bbox_head.test_cfg = dict(with_vertices=False)
    (result,) = predict(model, (64, 64))
    assert set(result.keys()) == set(FIELDS) - {'vertices'}


@pytest.mark.parametrize(
    ('test_cfg', 'error'),
    [
        (dict(max_per_img=0), 'max_per_img must be positive'),
        (dict(max_candidates=-1), 'max_candidates must be positive'),
        (dict(nms_iou_thr=None), 'test_cfg.nms_iou_thr must be a number'),
        (dict(score_threshold=0.3), 'score_threshold'),
    ],
)
def test_test_cfg_is_checked(test_cfg, error, model, make_tiny_model) -> None:
    with pytest.raises((TypeError, ValueError), match=error):
        make_tiny_model(test_cfg=test_cfg)
    # It may also be changed later.
    model.test_cfg = model.bbox_head.test_cfg = test_cfg
    with pytest.raises((TypeError, ValueError), match=error):
        predict(model, (64, 64))


def test_no_denoising_without_ground_truth(make_tiny_model) -> None:
    model = make_tiny_model().train()
    batch, samples = images((64, 64), (64, 64))
    outputs = model(batch, samples, mode='tensor')
    assert outputs.dn_queries is None
    assert outputs.layers[-1].dn_boxes is None


def test_body_model_is_no_part_of_checkpoints(model) -> None:
    names = set(model.state_dict())
    predict(model, (64, 64))
    assert set(model.state_dict()) == names
    assert not any('smplx_layer' in name for name in names)


def test_half_precision(model) -> None:
    """Under autocast; bodies and cameras stay in float32."""
    torch.manual_seed(0)
    (full,) = predict(model, (96, 128))
    torch.manual_seed(0)
    with torch.autocast('cpu', torch.bfloat16):
        (half,) = predict(model, (96, 128))
    check_fields(half, 20)
    assert half.vertices.dtype == half.joints2d.dtype == torch.float32
    torch.testing.assert_close(half.scores, full.scores, rtol=0, atol=0.02)


def test_double_precision(model) -> None:
    batch, samples = images((64, 96))
    with torch.no_grad():
        (result,) = model.double()(batch.double(), samples, mode='predict')
    persons = result.pred_instances
    assert persons.vertices.dtype == persons.bboxes.dtype == torch.float64


@pytest.mark.slow
def test_forward_is_one_graph(model) -> None:
    """``torch.compile`` finds nothing that it has to leave to Python."""
    batch, samples = images((64, 96), (48, 80))

    def forward(batch: Tensor) -> tuple[Tensor, Tensor]:
        outputs = model(batch, samples, mode='tensor').layers[-1]
        return outputs.boxes['body_box'], outputs.smplx.body_pose

    compiled = torch.compile(forward, backend='eager', fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(batch), forward(batch))


def test_no_padding_equals_padding_of_nothing(model, monkeypatch) -> None:
    """The short cut for images of one size changes no result."""
    batch, samples = images((64, 96), (64, 96))

    flatten = model.flatten_features

    def pad_nothing(features, padding):
        assert padding is None
        return flatten(features, batch.new_zeros(2, 1, 64, 96))

    with torch.no_grad():
        short = model(batch, samples, mode='tensor')
        monkeypatch.setattr(model, 'flatten_features', pad_nothing)
        long = model(batch, samples, mode='tensor')
    torch.testing.assert_close(
        short.layers[-1].boxes, long.layers[-1].boxes, rtol=0, atol=1e-5
    )


def test_five_levels(make_tiny_model) -> None:
    attention = dict(num_levels=5)
    model = make_tiny_model(
        num_feature_levels=5,
        neck=dict(num_outs=5),
        encoder=dict(layer_cfg=dict(self_attn_cfg=attention)),
        decoder=dict(layer_cfg=dict(cross_attn_cfg=attention)),
    ).eval()
    (result,) = predict(model, (64, 96))
    check_fields(result, 20)


def test_activation_checkpointing(make_tiny_model) -> None:
    """The same gradients, and fewer activations kept for the backward."""
    gradients, kept = [], []
    for num_cp in (0, 9):  # more layers than there are
        torch.manual_seed(0)
        model = make_tiny_model(
            encoder=dict(num_cp=num_cp),
            decoder=dict(num_cp=num_cp),
            dn_cfg=None,
        ).train()
        batch, samples = images((64, 96), (64, 96))
        sizes: list[int] = []

        def note(tensor: torch.Tensor, sizes: list[int] = sizes):
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
            outputs = model(batch, samples, mode='tensor')
        loss = outputs.layers[-1].logits.square().mean()
        (loss + outputs.encoder.logits.sum()).backward()
        gradients.append(model.neck.convs[0].conv.weight.grad)
        kept.append(sum(sizes))
    torch.testing.assert_close(*gradients)
    assert kept[1] < 0.8 * kept[0]


@pytest.mark.parametrize(
    ('changes', 'error'),
    [
        (dict(bbox_head=dict(embed_dims=32)), "'bbox_head': 32"),
        (dict(num_queries=0), 'num_queries must be positive, got 0'),
        (dict(decoder=dict(num_persons=-1)), 'num_persons must be positive'),
        (dict(train_cfg=dict(assigner={})), 'train_cfg must be empty, .*crit'),
        (dict(bbox_head=dict(num_classes=1)), 'num_classes .* 2, got 1'),
        (dict(bbox_head=dict(pose_lifter=dict(share=0.5))), 'needs box_rel'),
        (dict(bbox_head=dict(content_dropout=0.1)), 'needs box_relative'),
        (
            dict(bbox_head=dict(hands_and_face_stages=['whole-body'])),
            "hands_and_face_stages .*'body_refinement'.*'whole-body'",
        ),
        (
            dict(
                decoder=dict(
                    stages=[dict(layout='body_localization', num_layers=2)]
                )
            ),
            'last stage must predict',
        ),
    ],
)
def test_configs_that_cannot_work(changes, error, make_tiny_model) -> None:
    with pytest.raises(ValueError, match=error):
        make_tiny_model(**changes)


@pytest.mark.parametrize(
    ('neck', 'error'),
    [
        (dict(num_outs=3), r'levels is 4.* has 3 outputs with \[64, 64, 64\]'),
        (dict(num_outs=5), 'num_feature_levels is 4 .* has 5 outputs'),
        (dict(out_channels=32), r'encoder 64, .* 4 outputs with \[32, 32, 32'),
        (dict(in_channels=[32, 64]), r'is \[32, 64\], .* 3 maps .*64, 128\]'),
        (dict(in_channels=[32, 64, 100]), r'100\], but .* \[32, 64, 128\]'),
        (
            dict(_delete_=True, type='SimpleFeaturePyramid', in_channels=100),
            r'neck.in_channels is 100, but the backbone .* \[32, 64, 128\]',
        ),
    ],
)
def test_necks_that_do_not_fit(neck, error, make_tiny_model) -> None:
    model = make_tiny_model(neck=neck).eval()
    with pytest.raises(ValueError, match=error):
        predict(model, (128, 128))


@pytest.mark.parametrize(
    ('channels', 'error'),
    [
        ([32, 64, 128], r'2 maps .*\[32, 64\].*pose_prior one with 128'),
        ([32, 64], 'must have 86 channels, got 128'),
    ],
)
def test_backbone_without_a_pose_map(channels, error, make_tiny_model):
    model = make_tiny_model(
        neck=dict(in_channels=channels), decoder=dict(pose_prior={})
    ).eval()
    with pytest.raises(ValueError, match=error):
        predict(model, (128, 128))


@pytest.mark.parametrize(
    ('part', 'attention', 'name'),
    [
        ('encoder', 'self_attn_cfg', 'DeformableEncoder'),
        ('decoder', 'cross_attn_cfg', 'ProgressiveDecoder'),
    ],
)
def test_attention_with_another_number_of_levels(
    part, attention, name, make_tiny_model
):
    changes = {part: dict(layer_cfg={attention: dict(num_levels=3)})}
    with pytest.raises(
        ValueError, match=f'is 4, but num_levels of attention in {name} is 3'
    ):
        make_tiny_model(**changes)


def test_several_necks(make_tiny_model) -> None:
    """As in MMDetection's Libra R-CNN."""
    pyramid = dict(type='mmdet.FPN', in_channels=[32, 64, 128])
    pyramid |= dict(out_channels=64, num_outs=4)
    balance = dict(type='mmdet.BFP', in_channels=64, num_levels=4)
    model = make_tiny_model(neck=[pyramid, balance]).eval()
    assert len(predict(model, (64, 64))) == 1
