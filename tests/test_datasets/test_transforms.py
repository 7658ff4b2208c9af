# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Labels follow the pixels: draw a dot, find it after every transform."""

# Long because every transform is tried with every kind of label.

from __future__ import annotations

import random

import cv2
import numpy as np
import pytest
import torch
from gt_fields import check_gt_instances
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.transforms import RandomChoiceResize

from aios.datasets import transforms
from aios.datasets.transforms import (
    ChannelGain,
    FilterWholeBody,
    LoadHumanAnnotations,
    LoadImage,
    PackWholeBodyInputs,
    PersonGroupCrop,
    WholeBodyFlip,
    WholeBodyRandomResize,
    WholeBodyResize,
)
from aios.datasets.transforms.geometry import group_region
from aios.structures import (
    GT_FIELDS,
    PARTS,
    SMPLX_137,
    SMPLX_ROTATIONS_53,
)
from aios.utils.resizing import keep_ratio_size

HEIGHT, WIDTH = 120, 160
LABELED = 24  # the joint whose dot is drawn, by person


def labels(points, seed=0):
    """Labels of persons whose joint 24 is at ``points`` ``(n, 2)``."""
    rng = np.random.default_rng(seed)
    points = np.asarray(points, np.float32).reshape(-1, 2)
    count = len(points)
    persons = {}
    for name, field in GT_FIELDS.items():
        shape = (count, *field.shape)
        values = rng.uniform(0.1, 1, shape).astype(np.float32)
        if name.endswith(('valid', 'has_3d')):
            values = np.ones(shape, np.float32)
        if field.dtype == torch.int64:
            values = np.ones(shape, np.int64)
        persons[name] = values
    corners = np.hstack((points - 10, points + (12, 15)))
    for name in ('bboxes', *(f'{part}_bboxes' for part in PARTS)):
        persons[name] = corners.clip(0, (WIDTH, HEIGHT) * 2)
        persons[name] = persons[name].astype(np.float32)
    persons['keypoints'] = np.repeat(points[:, None], 137, axis=1)
    return persons


def loaded(points, channels=(0, 1, 2)):
    """Pipeline state with a dot per person, in a color of its own.

    Dots are drawn around pixels; their labels are at the pixels' centers.
    """
    points = np.asarray(points).reshape(-1, 2)
    img = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for channel, (x, y) in zip(channels, points, strict=False):
        img[y - 1 : y + 2, x - 1 : x + 2, channel] = 200
    results = {
        'img': img,
        'img_shape': (HEIGHT, WIDTH),
        'ori_shape': (HEIGHT, WIDTH),
        'img_path': 'a.png',
        'height': HEIGHT,
        'width': WIDTH,
        'instances_arrays': labels(points + 0.5),
        'cam_K': np.array([[200.0, 0, 70.5], [0, 210, 65.5], [0, 0, 1]]),
    }
    return LoadHumanAnnotations()(results)


def dot(img, channel):
    """Center of the dot in a channel, ``x, y`` pixels."""
    weight = np.asarray(img)[..., channel].astype(float)
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]] + 0.5
    return np.array(((x * weight).sum(), (y * weight).sum())) / weight.sum()


def assert_dots(results, persons, tolerance):
    """The dots of the persons are where their labels say."""
    for i in range(persons):
        label = results['gt_persons']['keypoints'][i, LABELED]
        found = dot(results['img'], i)
        np.testing.assert_allclose(found, label, atol=tolerance)


POINTS = [(40, 50), (100, 30), (120, 90)]
TRANSFORMS = {
    'load': lambda results: results,
    'crop': PersonGroupCrop(sample_prob=1, sample_ratio=0),
    'resize_down': WholeBodyResize((70, 50)),
    'resize_up': WholeBodyResize((500, 301)),
    'resize_round': WholeBodyResize((500, 301), size_rounding='round'),
    'resize_enlarged': WholeBodyResize((500, 301), enlarged_scale=(300, 200)),
    'random_resize': WholeBodyRandomResize((90, 200), 400),
    'choice_resize': RandomChoiceResize(
        [(400, 90), (400, 200)], resize_type='aios.WholeBodyResize'
    ),
    'flip': WholeBodyFlip(prob=1),
    'gain': ChannelGain((0.8, 1.2)),
    'filter': FilterWholeBody(),
}


@pytest.mark.parametrize(
    'transform',
    [
        *(LoadImage(), LoadHumanAnnotations(), PackWholeBodyInputs()),
        *(TRANSFORMS[name] for name in ('crop', 'resize_round', 'flip')),
        *(TRANSFORMS[name] for name in ('random_resize', 'gain', 'filter')),
    ],
    ids=lambda transform: type(transform).__name__,
)
def test_prints_as_the_call_that_makes_it(transform):
    again = eval(repr(transform), vars(transforms))
    assert vars(again) == vars(transform)


@pytest.mark.parametrize('name', TRANSFORMS)
def test_dot_is_where_the_label_says(name):
    results = TRANSFORMS[name](loaded(POINTS))
    assert results['img'].shape[:2] == results['img_shape']
    scale = max(results['scale_factor'])
    # The published resize is off by (s - 1) / 2, and a resized dot of three
    # pixels is not sampled symmetrically.
    tolerance = 0.5 * abs(scale - 1) + 0.25 * max(scale, 1)
    assert_dots(results, 3, 0.01 if scale == 1 else tolerance)
    mapped = cv2.perspectiveTransform(
        np.float64([POINTS]) + 0.5, results['homography_matrix']
    )[0]
    np.testing.assert_allclose(
        results['gt_persons']['keypoints'][:, LABELED], mapped, atol=1e-3
    )


@pytest.mark.parametrize('scale', [(320, 240), (640, 480)])
def test_resize_backend_is_exact(scale):
    results = WholeBodyResize(scale, backend='resize')(loaded(POINTS))
    assert max(results['scale_factor']) > 1
    assert_dots(results, 3, 0.02)


@pytest.mark.parametrize(
    ('size', 'expected'),
    [
        ((320, 240), (640, 480)),
        ((300, 400), (480, 640)),
        ((640, 480), (640, 480)),
        ((600, 500), (600, 500)),
        ((740, 500), (735, 497)),
        ((1472, 1104), (736, 552)),
        ((500, 900), (409, 736)),
    ],
)
def test_small_images_are_enlarged_less(size, expected):
    found = keep_ratio_size(size, (736, 552), enlarged_scale=(640, 480))
    assert found == expected


def test_no_image_is_enlarged_beyond_its_scale():
    found = keep_ratio_size((320, 240), (640, 480), enlarged_scale=(800, 600))
    assert found == (640, 480)


def test_published_shift_moves_the_mirrored_image_by_a_pixel():
    plain = WholeBodyFlip(prob=1)(loaded(POINTS))
    shifted = WholeBodyFlip(prob=1, published_shift=True)(loaded(POINTS))
    np.testing.assert_array_equal(shifted['img'][:, 1:], plain['img'][:, :-1])
    assert not shifted['img'][:, 0].any()
    np.testing.assert_array_equal(
        shifted['gt_persons']['keypoints'], plain['gt_persons']['keypoints']
    )


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 10_000),
    points=st.lists(
        st.tuples(st.integers(3, WIDTH - 4), st.integers(3, HEIGHT - 4)),
        min_size=1,
        max_size=3,
        unique=True,
    ),
)
def test_dots_after_the_whole_pipeline(seed, points):
    apart = [abs(np.subtract(a, b)).max() for a in points for b in points]
    if any(0 < distance < 8 for distance in apart):
        return
    random.seed(seed)
    results = loaded(points)
    for step in (
        PersonGroupCrop(sample_prob=0.7, sample_ratio=0),
        WholeBodyRandomResize((100, 200, 300), 600),
        WholeBodyFlip(prob=0.5),
        ChannelGain(),
        FilterWholeBody(),
    ):
        results = step(results)
    x, y = results['gt_persons']['keypoints'][:, LABELED].T
    height, width = results['img_shape']
    scale = max(results['scale_factor'])
    margin = 3 * scale
    for i in range(len(points)):
        clear = margin < x[i] < width - margin
        if clear and margin < y[i] < height - margin:
            np.testing.assert_allclose(
                dot(results['img'], i), (x[i], y[i]), atol=0.75 * scale
            )
    packed = PackWholeBodyInputs()(results)
    check_gt_instances(packed['data_samples'].gt_instances)


def test_camera_follows_the_pixels():
    """A 3-D point that projects onto the dot still does so afterwards."""
    point = np.array([0.3, -0.2, 2.0])
    results = loaded([(100, 44)])
    persons = results['gt_persons']
    persons['smplx_transl'] = np.float32([point])
    np.testing.assert_allclose(
        project(results), persons['keypoints'][0, LABELED], atol=1e-4
    )
    for step in (
        PersonGroupCrop(sample_prob=1),
        WholeBodyResize((500, 301)),
        WholeBodyFlip(prob=1),
    ):
        results = step(results)
        label = results['gt_persons']['keypoints'][0, LABELED]
        np.testing.assert_allclose(project(results), label, atol=1e-3)


def project(results):
    moved = results['cam_K'] @ results['gt_persons']['smplx_transl'][0]
    return moved[:2] / moved[2]


# -- flip -------------------------------------------------------------------


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), count=st.integers(0, 3))
def test_flip_twice_is_the_identity(seed, count):
    rng = np.random.default_rng(seed)
    results = loaded(rng.integers(20, 100, (count, 2)), channels=())
    before = {k: v.copy() for k, v in results['gt_persons'].items()}
    flip = WholeBodyFlip(prob=1)
    after = flip(flip(results))
    for name, value in before.items():
        np.testing.assert_allclose(
            after['gt_persons'][name], value, atol=1e-4, err_msg=name
        )
    np.testing.assert_allclose(after['homography_matrix'], np.eye(3))
    assert after['flip'] is False


def test_flip_swaps_every_left_with_its_right():
    results = loaded([(50, 50)])
    persons = results['gt_persons']
    joints, rotations = SMPLX_137.index, SMPLX_ROTATIONS_53.index
    for name in ('weight', 'visible'):
        persons[f'keypoints_{name}'][0, joints('left_wrist')] = 0.25
    persons['keypoints3d'][0, joints('left_wrist')] = (1, 2, 3)
    persons['keypoints3d_visible'][0, joints('left_wrist')] = 0.5
    persons['smplx_pose'][0, rotations('left_elbow')] = (1, 2, 3)
    persons['smplx_pose'][0, 0] = (1, 2, 3)
    persons['smplx_pose_valid'][0, rotations('left_index_1')] = 0
    persons['lhand_bboxes'][0] = (10, 20, 30, 40)
    persons['rhand_valid'][0] = 0
    kept = {k: persons[k].copy() for k in ('smplx_betas', 'gender')}

    persons = WholeBodyFlip(prob=1)(results)['gt_persons']

    right = joints('right_wrist')
    assert persons['keypoints_weight'][0, right] == 0.25
    assert persons['keypoints_visible'][0, right] == 0.25
    assert persons['keypoints3d'][0, right].tolist() == [-1, 2, 3]
    assert persons['keypoints3d_visible'][0, right] == 0.5
    elbow = persons['smplx_pose'][0, rotations('right_elbow')]
    assert elbow.tolist() == [1, -2, -3]
    assert persons['smplx_pose'][0, 0].tolist() == [1, -2, -3]
    assert persons['smplx_pose_valid'][0, rotations('right_index_1')] == 0
    assert persons['smplx_pose_valid'][0, rotations('left_index_1')] == 1
    assert persons['rhand_bboxes'][0].tolist() == [130, 20, 150, 40]
    assert (persons['lhand_valid'][0], persons['rhand_valid'][0]) == (0, 1)
    for name, value in kept.items():
        np.testing.assert_array_equal(persons[name], value)


def test_flipped_pose_moves_the_body_like_its_flipped_joints(free_body_dir):
    """Mirroring parameters and mirroring joints is the same."""
    from aios.body_models import SMPLXLayer

    layer = SMPLXLayer(free_body_dir, 'neutral', dtype=torch.float64)

    def joints(persons):
        pose = torch.from_numpy(persons['smplx_pose']).double()
        out = layer(
            betas=torch.from_numpy(persons['smplx_betas']).double(),
            expression=torch.from_numpy(persons['smplx_expression']).double(),
            global_orient=pose[:, 0],
            body_pose=pose[:, 1:22],
            left_hand_pose=pose[:, 22:37],
            right_hand_pose=pose[:, 37:52],
            jaw_pose=pose[:, 52],
            joint_set='smplx_137',
            return_vertices=False,
        ).joints
        return (out - out[:, :1]).numpy()

    results = loaded([(40, 50), (100, 30)], channels=())
    persons = results['gt_persons']
    persons['keypoints3d'] = before = joints(persons)
    flipped = WholeBodyFlip(prob=1)(results)['gt_persons']
    mirrored, moved = flipped['keypoints3d'], joints(flipped)
    assert abs(mirrored - before).max() > 0.1
    # Joints mirror exactly; landmarks sit on triangles that do so roughly.
    np.testing.assert_allclose(moved[:, :14], mirrored[:, :14], atol=1e-5)
    np.testing.assert_allclose(moved[:, :65], mirrored[:, :65], atol=1e-3)
    np.testing.assert_allclose(moved, mirrored, atol=2e-2)


def test_flip_does_not_change_the_arrays_of_the_data_set():
    results = loaded([(50, 50)])
    source = results['instances_arrays']
    before = {k: v.copy() for k, v in source.items()}
    for step in (
        PersonGroupCrop(sample_prob=1),
        WholeBodyFlip(prob=1),
        WholeBodyResize((70, 50)),
        FilterWholeBody(),
    ):
        results = step(results)
    for name, value in before.items():
        np.testing.assert_array_equal(source[name], value)


# -- crop -------------------------------------------------------------------


@settings(deadline=None, max_examples=50)
@given(
    size=st.tuples(st.integers(20, 500), st.integers(20, 500)),
    seed=st.integers(0, 10_000),
)
def test_group_region(size, seed):
    height, width = size
    rng = np.random.default_rng(seed)
    points = np.sort(rng.uniform(0, 1, (3, 2, 2)), axis=1)
    boxes = (points * (width, height)).reshape(3, 4).astype(np.float32)
    x0, y0, w, h = group_region(boxes, size)
    assert 0 <= x0 <= x0 + w <= width
    assert 0 <= y0 <= y0 + h <= height
    low, high = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    assert x0 <= low[0] + 1e-3
    assert y0 <= low[1] + 1e-3
    # Corner and size are both truncated: up to two pixels are cut off.
    assert x0 + w > high[0] - 2
    assert y0 + h > high[1] - 2
    assert abs(w - h * width / height) <= 1 + width / height


def test_crop_probabilities():
    random.seed(0)
    crop = PersonGroupCrop(sample_prob=0.7, sample_ratio=0.5, single_prob=0.6)
    draws = [crop._draw(4) for _ in range(20_000)]
    sizes = [len(d) for d in draws if d is not None]
    # chosen at all .7; of four: one .5 * (.6 + .4 / 4), all .5 + .5 * .1
    counts = np.bincount([0 if d is None else len(d) for d in draws])
    expected = np.array([0.3, 0.7 * 0.35, 0.035, 0.035, 0.7 * 0.55])
    deviation = (counts - 20_000 * expected) ** 2 / (20_000 * expected)
    assert deviation.sum() < 18.5  # chi-square, 4 degrees, p = 0.001
    assert all(len(set(d)) == len(d) for d in draws if d is not None)
    assert max(sizes) == 4


def test_tiny_boxes_do_not_crop_to_nothing():
    results = loaded([(50, 50)])
    results['gt_persons']['bboxes'][0] = (50, 50, 50.5, 50.5)
    cropped = PersonGroupCrop(sample_prob=1)(results)
    assert cropped['img_shape'] == (HEIGHT, WIDTH)


# -- filter, pack -------------------------------------------------------------


def test_filter_removes_who_left_and_clips_the_rest():
    results = loaded([(5, 50), (80, 60), (80, 60)])
    persons = results['gt_persons']
    persons['bboxes'][:2] = [(-20, 0, 0, 10), (-20, 100, 30, 200)]
    persons['lhand_bboxes'][1] = (-9, 0, -1, 10)
    persons['rhand_bboxes'][1] = (150, 0, 170, 10)
    persons = FilterWholeBody()(results)['gt_persons']
    assert {len(value) for value in persons.values()} == {2}
    assert persons['bboxes'][0].tolist() == [0, 100, 30, HEIGHT]
    assert persons['lhand_valid'].tolist() == [0, 1]
    assert persons['rhand_bboxes'][0].tolist() == [150, 0, WIDTH, 10]


def test_min_visible_ratio():
    results = loaded([(80, 60), (80, 60)])
    results['gt_persons']['bboxes'][:] = [
        (-60, 0, 40, 10),
        (-40, 0, 60, 10),
    ]
    kept = FilterWholeBody(min_visible_ratio=0.5)(results)
    assert len(kept['gt_persons']['labels']) == 1


def test_a_image_that_lost_all_persons_is_drawn_again():
    results = loaded([(80, 60)])
    results['gt_persons']['bboxes'][:] = -5
    assert FilterWholeBody()(dict(results)) is None
    kept = FilterWholeBody(keep_empty=True)(dict(results))
    assert len(kept['gt_persons']['labels']) == 0


def test_images_without_persons_pass_everything():
    results = loaded(np.zeros((0, 2), int))
    for step in (
        PersonGroupCrop(sample_prob=1),
        WholeBodyRandomResize((90,), 400),
        WholeBodyFlip(prob=1),
        ChannelGain(),
        FilterWholeBody(),
        PackWholeBodyInputs(),
    ):
        results = step(results)
    instances = results['data_samples'].gt_instances
    assert len(instances) == 0
    check_gt_instances(instances)


def test_pack():
    results = loaded([(50, 50), (80, 60)])
    persons = results['gt_persons']
    persons['keypoints'][0, 3] = (-0.1, 5)
    persons['keypoints'][0, 4] = (WIDTH, 5)
    persons['keypoints'][0, 5] = (0, HEIGHT - 0.5)
    persons['keypoints_visible'][0] = persons['keypoints_weight'][0] = 1
    persons['face_valid'][0] = 0
    packed = PackWholeBodyInputs()(results)
    assert packed['inputs'].shape == (3, HEIGHT, WIDTH)
    assert packed['inputs'].dtype == torch.float32
    instances = packed['data_samples'].gt_instances
    check_gt_instances(instances)
    for name in ('keypoints_visible', 'keypoints_weight'):
        assert instances[name][0, 3:6].tolist() == [0, 0, 1]
    assert instances.face_bboxes[0].tolist() == [0, 0, WIDTH, HEIGHT]
    sample = packed['data_samples']
    assert sample.img_shape == sample.ori_shape == (HEIGHT, WIDTH)
    assert set(sample.metainfo_keys()) >= {'scale_factor', 'flip', 'cam_K'}


def test_gain_keeps_range_and_type():
    random.seed(0)
    for dtype in (np.float32, np.uint8):
        img = np.full((4, 5, 3), 240, dtype)
        out = ChannelGain((0.5, 1.5))({'img': img})['img']
        assert out.dtype == dtype
        assert out.min() >= 0
        assert out.max() <= 255
        assert len(np.unique(out)) > 1
        assert (img == 240).all()


# -- loading ------------------------------------------------------------------


def test_gain_rounds_integers():
    img = np.full((2, 2, 3), 99, np.uint8)
    assert (ChannelGain((1.1, 1.1))({'img': img})['img'] == 109).all()


def test_exif_orientation_is_ignored(tmp_path):
    """Labels refer to the pixels as stored."""
    from PIL import Image

    img = np.zeros((40, 60, 3), np.uint8)
    img[5:10, 50:55] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    path = str(tmp_path / 'turned.jpg')
    Image.fromarray(img).save(path, exif=exif)
    results = LoadImage()({'img_path': path})
    assert results['img'].shape == (40, 60, 3)
    assert results['img'].dtype == np.float32
    assert results['img'][7, 52, 0] > 200


def test_size_mismatch(tmp_path):
    path = str(tmp_path / 'a.png')
    cv2.imwrite(path, np.zeros((60, 80, 3), np.uint8))

    def fresh():
        return LoadImage()(
            {
                'img_path': path,
                'height': HEIGHT,
                'width': WIDTH,
                'instances_arrays': labels([(40, 60)]),
                'dataset_name': 'toy',
            }
        )

    with pytest.raises(ValueError, match=r'a\.png.*toy.*rescale_if_mism'):
        LoadHumanAnnotations()(fresh())
    results = LoadHumanAnnotations(rescale_if_mismatch=True)(fresh())
    point = results['gt_persons']['keypoints'][0, LABELED]
    np.testing.assert_allclose(point, (20, 30))
    assert results['img_shape'] == (60, 80)
    np.testing.assert_allclose(results['homography_matrix'], np.eye(3))
    # Predictions return to the pixels of the image, not of the annotation.
    resized = WholeBodyResize((160, 120))(results)
    assert resized['scale_factor'] == (2, 2)

    turned = fresh()
    turned['height'], turned['width'] = WIDTH, HEIGHT
    with pytest.raises(ValueError, match='turned'):
        LoadHumanAnnotations(rescale_if_mismatch=True)(turned)


@pytest.mark.parametrize(
    ('name', 'value', 'message'),
    [
        ('gender', None, "lack 'gender'.*GT_FIELDS"),
        ('keypoints', np.zeros((1, 17, 2)), r'\(1, 137, 2\), got \(1, 17, 2'),
        ('labels', np.zeros(1), r'at least 1, the class person, got \[0'),
        ('bboxes', [[30, 40, 10, 20]], r'x0, y0, x1, y1, got \[30, 40, 10'),
    ],
)
def test_labels_of_other_datasets_are_checked(name, value, message):
    arrays = labels([(40, 60)])
    if value is None:
        del arrays[name]
    else:
        arrays[name] = value
    size = dict(height=HEIGHT, width=WIDTH)
    results = dict(img_path='a.png', instances_arrays=arrays, **size)
    with pytest.raises(ValueError, match=rf'a\.png.*{message}'):
        LoadHumanAnnotations()(results)


@pytest.mark.parametrize('name', ['resize_down', 'crop', 'flip'])
def test_labels_come_before_transforms(name):
    img = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    results = LoadImage()(dict(img=img, img_path='a.png'))
    results['gt_persons'] = labels([(40, 60)])
    with pytest.raises(ValueError, match=r'a\.png: LoadHumanAnnotations must'):
        TRANSFORMS[name](results)


def test_unreadable_images_are_named(tmp_path):
    empty, text = tmp_path / 'empty.png', tmp_path / 'text.jpg'
    empty.write_bytes(b'')
    text.write_text('no image')
    for path in (empty, text):
        with pytest.raises(ValueError, match=path.name):
            LoadImage()({'img_path': str(path)})
    with pytest.raises(FileNotFoundError, match=r'gone\.jpg.*sample 7'):
        LoadImage()({'img_path': str(tmp_path / 'gone.jpg'), 'sample_idx': 7})


def test_bad_arguments():
    with pytest.raises(ValueError, match='backend'):
        WholeBodyResize(backend='pillow')
    with pytest.raises(ValueError, match='size_rounding'):
        WholeBodyResize(size_rounding='ceil')
    with pytest.raises(ValueError, match='gain_range'):
        ChannelGain((1.2, 0.8))


@pytest.mark.parametrize(
    ('img', 'message'),
    [
        (np.zeros((4, 5), np.uint8), r'shape \(H, W, 3\).*\(4, 5\)'),
        (np.zeros((4, 5, 4), np.uint8), r'shape \(H, W, 3\)'),
        (np.zeros((0, 5, 3), np.uint8), r'shape \(H, W, 3\)'),
        (np.zeros((4, 5, 3), np.uint16), 'uint8 or floating.*uint16'),
        ([[0]], 'array, got list'),
    ],
)
def test_arrays_that_are_no_images_are_refused(img, message):
    with pytest.raises(ValueError, match=message):
        LoadImage()({'img': img})
