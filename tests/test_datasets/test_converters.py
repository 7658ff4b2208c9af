# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Each converter and dataset, on a miniature of the official release."""

from __future__ import annotations

import numpy as np
import pytest
import toy_releases as releases
from toy_captured import write_ply
from toy_releases import RELEASES

from aios.datasets import (
    AGORADataset,
    COCONADataset,
    EHFDataset,
    HumanData,
)
from aios.datasets.converters import (
    AGORAConverter,
    COCOConverter,
    ConverterError,
    UBodyConverter,
    convert,
)
from aios.datasets.converters.bodies import smplx_joints
from aios.structures import SMPLX_137

PIPELINE = [
    {'type': 'LoadImage'},
    {'type': 'LoadHumanAnnotations', 'rescale_if_mismatch': True},
    {'type': 'WholeBodyResize', 'scale': (320, 200)},
    {'type': 'PackWholeBodyInputs'},
]


@pytest.mark.parametrize('name', RELEASES)
def test_images_and_joints(converted, name):
    """Every row is one true person of its image, in 3-D and in pixels."""
    _, truth, out, summary = converted(name)
    data = HumanData.load(out)
    assert summary.persons == len(data) > 0
    assert summary.images == len(data['frame_range'])
    paths = np.array(data['image_path'])
    assert set(paths) <= set(truth.persons)
    with_3d = 'keypoints3d_smplx' in data
    tolerance = 0.02 if name == 'ehf' else 2e-4  # regressed, or posed
    if name == 'arctic':
        tolerance = 1e-4
    for row, path in enumerate(paths):
        points = data['keypoints2d_smplx'][row, :144]
        known = points[:, 2] > 0
        if name == 'arctic':
            known[127:] = False  # the contour differs from view to view
        if not known.any():
            assert not data['meta']['smplx_valid'][row]
            continue
        joints, pixels = nearest(truth.persons[path], points, known)
        error = np.abs(points[known, :2] - pixels[known])
        scale = data['meta']['focal_length'][row, 0] / joints[:, 2].min()
        assert error.max() < 2 * tolerance * scale + 0.05
        if with_3d:
            stored = data['keypoints3d_smplx'][row, :144]
            known &= stored[:, 3] > 0
            error = np.linalg.norm(stored[known, :3] - joints[known], axis=1)
            assert error.max() < tolerance


def nearest(persons, points, known):
    distance = [np.abs(p[1] - points[:, :2])[known].max() for p in persons]
    return persons[int(np.argmin(distance))]


@pytest.mark.parametrize('name', RELEASES)
def test_parameters_make_the_joints(converted, models, name):
    """SMPL-X of the stored parameters gives the stored joints."""
    _, _, out, _ = converted(name)
    data = HumanData.load(out)
    valid = np.asarray(data['meta']['smplx_valid']) > 0
    if 'is_kid' in data['meta']:
        valid &= np.asarray(data['meta']['is_kid']) == 0
    genders = np.array(data['meta']['gender'])
    flat = data['misc']['flat_hand_mean']
    assert valid.any()
    for gender in set(genders[valid]):
        rows = valid & (genders == gender)
        params = {k: v[rows] for k, v in data['smplx'].items() if k in KNOWN}
        joints = smplx_joints(params, models, gender, flat)
        focal = data['meta']['focal_length'][rows]
        center = data['meta']['principal_point'][rows]
        pixels = joints[..., :2] / joints[..., 2:] * focal[:, None]
        pixels = pixels + center[:, None]
        stored = data['keypoints2d_smplx'][rows, :144]
        error = np.abs(pixels - stored[..., :2])[stored[..., 2] > 0]
        assert error.max() < (25 if name == 'ehf' else 0.1)


KNOWN = (
    'betas',
    'expression',
    'transl',
    *('global_orient', 'body_pose', 'jaw_pose'),
    *('left_hand_pose', 'right_hand_pose', 'leye_pose', 'reye_pose'),
)


def test_agora_rules(converted, models, tmp_path):
    root, _, out, summary = converted('agora')
    dataset = AGORADataset(
        str(out), str(root), {'img': ''}, cache_dir=str(tmp_path)
    )
    # Persons of an image: one seen, one occluded by 98.5 %, a boy; and a
    # girl and one occluded.
    first, second = (dataset[i]['instances_arrays'] for i in range(2))
    seen = [True, False, True]
    assert first['smplx_pose_valid'].any(axis=1).tolist() == seen
    assert first['keypoints_weight'].any(axis=1).tolist() == seen
    assert first['keypoints3d_visible'].any(axis=1).tolist() == seen
    assert first['lhand_valid'].tolist() == [1, 0, 1]
    assert (first['bboxes'][:, 2:] > first['bboxes'][:, :2]).all()
    assert first['smplx_betas_valid'].tolist() == [1, 0, 0]
    assert second['smplx_betas_valid'].tolist() == [0, 0]
    assert second['smplx_pose_valid'].any(axis=1).tolist() == [True, False]
    # Tests see everybody, with gendered shapes.
    tests = AGORADataset(
        str(out),
        str(root),
        {'img': ''},
        cache_dir=str(tmp_path),
        test_mode=True,
    )
    persons = tests[0]['instances_arrays']
    assert persons['smplx_betas_valid'].tolist() == [1, 1, 0]
    assert persons['gender'].tolist() == [0, 1, 0]
    assert not np.allclose(persons['smplx_betas'][0], first['smplx_betas'][0])
    assert summary.counts['child without template'] == 0


def test_agora_frames_of_unknown_size(models, tmp_path, monkeypatch):
    """Which pixels their keypoints are in would be a guess."""
    releases.agora(tmp_path, np.random.default_rng(3), models)
    monkeypatch.setattr(
        'aios.datasets.converters.agora_frames.principal_x',
        lambda *_: np.nan,
    )
    converter = AGORAConverter(tmp_path, 'train', models)
    with pytest.raises(
        ConverterError, match='do not determine the image size'
    ):
        convert(converter, tmp_path / 'agora.npz')
    assert not (tmp_path / 'agora.npz').exists()


def test_agora_small_images_and_no_template(models, tmp_path):
    releases.agora(
        tmp_path, np.random.default_rng(3), models, with_template=False
    )
    converter = AGORAConverter(
        tmp_path, 'train', models, resolution='1280x720'
    )
    summary = convert(converter, tmp_path / 'agora.npz')
    data = HumanData.load(tmp_path / 'agora.npz')
    assert data['image_path'][0].endswith('_00000_1280x720.png')
    assert data['meta']['width'].tolist() == [1280] * 5
    assert np.allclose(data['meta']['focal_length'], 3733.3 / 3, atol=0.5)
    assert summary.counts['child without template'] == 2
    kid = np.flatnonzero(data['meta']['is_kid'])
    assert data['meta']['smplx_valid'][kid].tolist() == [0, 0]
    assert data['keypoints3d_smplx'][kid, :127, 3].all()
    assert not data['keypoints3d_smplx'][kid, 127:144, 3].any()


def test_neutral_shape_is_the_same_body(converted, models):
    """Neutral coefficients describe the gendered body within millimeters."""
    _, _, out, _ = converted('egobody')
    params = HumanData.load(out)['smplx']
    gendered = smplx_joints({'betas': params['betas']}, models, 'male')
    neutral = smplx_joints({'betas': params['betas_neutral']}, models)
    plain = smplx_joints({'betas': params['betas']}, models)

    def spread(joints):
        body = joints[:, :22] - joints[:, :1]
        truth = gendered[:, :22] - gendered[:, :1]
        return np.linalg.norm(body - truth, axis=-1).mean()

    assert spread(neutral) < 0.02
    assert spread(neutral) < spread(plain)


def test_coco_labels(converted):
    _, _, out, summary = converted('coco')
    data = HumanData.load(out)
    assert summary.counts['crowd'] == 1
    assert summary.counts['without body fit'] == 1
    assert data['lhand_bbox_xywh'][:, 4].tolist().count(0) == 1
    occluded = int(np.flatnonzero(data['lhand_bbox_xywh'][:, 4] == 0)[0])
    # Left hand annotations lie in left hand boxes: the order is COCO's.
    row = 1 - occluded if occluded < 2 else 0
    points = data['keypoints2d_ori'][row]
    x, y, w, h = data['lhand_bbox_xywh'][row, :4]
    hand = points[25:40, :2]
    assert ((hand >= (x - 1, y - 1)) & (hand <= (x + w + 1, y + h + 1))).all()
    # What COCO annotates of bodies, hips with it, are labels.
    joints = data.joints('keypoints2d_ori', SMPLX_137)
    without = [SMPLX_137.index(n) for n in ('pelvis', 'neck', 'left_eye')]
    labeled = np.delete(joints[:, :25], without, axis=1)
    assert (labeled[..., 2] == 1).all()


def test_crowds_of_coco(converted, models, tmp_path):
    """Kept crowds are boxes, never persons, and follow the image."""
    root = converted('coco')[0]
    out = tmp_path / 'crowds.npz'
    summary = convert(
        COCOConverter(root, 'train', models, keep_crowds=True), out
    )
    assert summary.counts['crowd'] == 1
    assert summary.persons == 5
    crowd = np.flatnonzero(HumanData.load(out)['meta']['iscrowd'])
    assert len(crowd) == 1

    def samples(*steps, **kwargs):
        dataset = COCONADataset(
            str(out),
            str(root),
            pipeline=[*PIPELINE[:2], *steps, PIPELINE[-1]],
            cache_dir=str(tmp_path),
            **kwargs,
        )
        return [item['data_samples'] for item in dataset]

    for sample in samples():
        assert 'ignored_instances' not in sample
        assert len(sample.gt_instances) == 2
    # Image 9 has it, from 0 to 90.
    first, second = samples(ignore_crowds=True)
    boxes = first.ignored_instances.bboxes.tolist()
    assert boxes == [[0, 0, 90, 90]]
    assert len(first.gt_instances) == 2
    assert second.ignored_instances.bboxes.shape == (0, 4)
    steps = [
        {'type': 'WholeBodyFlip', 'prob': 1},
        {'type': 'WholeBodyResize', 'scale': (320, 240)},
        {'type': 'FilterWholeBody'},
    ]
    moved = samples(*steps, ignore_crowds=True)[0].ignored_instances
    assert moved.bboxes.tolist() == [[320 - 45, 0, 320, 45]]
    with pytest.raises(ValueError, match="'crowd' in drop_rules"):
        samples(ignore_crowds=True, drop_rules=())


def test_ubody_splits(converted, models, tmp_path):
    root, _, out, summary = converted('ubody')
    data = HumanData.load(out)
    videos = {p.rsplit('/', 1)[0] for p in data['image_path']}
    assert videos == {'images/Speech/Speech_S1_Trim1'}
    assert dict(summary.counts) == {
        'other split': 4,
        'invalid label': 1,
        'crowd': 1,
        'duplicate box': 1,
        'empty box': 0,
        'no confident joint': 0,
        'number not finite, or beyond 1e7': 0,
    }
    assert len(data) == 2
    file = tmp_path / 'test.npz'
    convert(UBodyConverter(root, 'test', models, annotation_interval=3), file)
    test = HumanData.load(file)
    # Counted from one: annotations 3, 6, 9; of these 6 is of the video.
    assert test['image_path'] == ['images/Speech/Speech_S2_Trim4/000002.png']


def test_ehf_meshes(converted, tmp_path):
    root, _, out, _ = converted('ehf')
    dataset = EHFDataset(
        str(out),
        str(root),
        {'img': ''},
        PIPELINE,
        test_mode=True,
        cache_dir=str(tmp_path),
    )
    instances = dataset[0]['data_samples'].gt_instances
    assert instances.vertices.shape == (1, 10475, 3)
    pelvis = instances.vertices[0].mean(0)
    assert 2 < float(pelvis[2]) < 3
    assert dataset[0]['data_samples'].gt_instances.smplx_pose_valid.any()
    assert not dataset[1]['data_samples'].gt_instances.smplx_pose_valid.any()


def test_ascii_ply(tmp_path):
    from aios.datasets.converters.ehf import read_ply_vertices

    points = np.random.default_rng(0).normal(size=(7, 3)).astype('f4')
    for binary in (True, False):
        path = tmp_path / f'{binary}.ply'
        write_ply(path, points, binary)
        np.testing.assert_allclose(read_ply_vertices(path), points, atol=1e-6)
