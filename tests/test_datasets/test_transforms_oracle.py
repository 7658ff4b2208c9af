# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Sizes, pixels and labels against arrays computed by the original AiOS.

Its images are compared as uint8, which is what it was fed with.
"""

from __future__ import annotations

import numpy as np
import pytest

from aios.datasets.transforms import FilterWholeBody
from aios.datasets.transforms.geometry import (
    PersonGroupCrop,
    WholeBodyFlip,
    WholeBodyResize,
)
from aios.datasets.transforms.label_geometry import (
    crop_labels,
    flip_labels,
    points_inside,
    rescale_labels,
)
from aios.structures import GT_FIELDS
from aios.utils.resizing import keep_ratio_size


@pytest.fixture(scope='module')
def oracle(data_dir):
    with np.load(data_dir / 'oracle/comp_preprocess.npz') as arrays:
        return dict(arrays)


def sample(size, count=1, **fields):
    """Transform input with zero labels except those given."""
    persons = {
        name: np.zeros((count, *field.shape), np.float32)
        for name, field in GT_FIELDS.items()
    }
    return {
        'img_shape': size,
        'homography_matrix': np.eye(3),
        'scale_factor': (1.0, 1.0),
        'crop_offset': (0.0, 0.0),
        'flip': False,
        'gt_persons': {**persons, **fields},
    }


@pytest.mark.parametrize('short', [480, 800])
def test_sizes(oracle, short):
    sizes = oracle['resize/in_wh'].tolist()
    ours = [keep_ratio_size(tuple(size), (1333, short)) for size in sizes]
    theirs = oracle[f'resize/out_wh_{short}_1333'].tolist()
    assert [list(size) for size in ours] == theirs


@pytest.mark.parametrize('name', ['full', 'flip', 'crop'])
def test_pixels(oracle, monkeypatch, name):
    img = oracle['patch/img']
    x0, y0, width, height = oracle[f'patch/{name}/bbox'].tolist()
    size = tuple(oracle[f'patch/{name}/shape'].tolist())
    box = np.float32([[x0, y0, x0 + width, y0 + height]])
    results = sample(img.shape[:2], bboxes=box)
    results['img'] = img
    if name == 'crop':
        monkeypatch.setattr(
            'aios.datasets.transforms.geometry.group_region',
            lambda *args: (x0, y0, width, height),
        )
        results = PersonGroupCrop(sample_prob=1)(results)
    results = WholeBodyResize((max(size), min(size)))(results)
    if name == 'flip':
        results = WholeBodyFlip(prob=1, published_shift=True)(results)
    assert results['img'].shape[:2] == size
    # Beyond the last row and column of a crop the original warp still sees
    # the rest of the image.
    inner = slice(None, -1 if name == 'crop' else None)
    np.testing.assert_array_equal(
        results['img'][inner, inner], oracle[f'patch/{name}/img'][inner, inner]
    )
    matrix = results['homography_matrix'][:2]
    if name == 'flip':
        # Theirs is the map of the mirrored image.
        matrix = matrix @ [[-1, 0, img.shape[1] - 1], [0, 1, 0], [0, 0, 1]]
    np.testing.assert_allclose(
        matrix, oracle[f'patch/{name}/trans'], atol=1e-6
    )


def warp(results, flip):
    """The oracle's warp: half size, then a crop, and maybe a flip.

    It mirrors about the center of the last pixels, hence the half pixel.
    """
    rescale_labels(results, (100, 150))
    crop_labels(results, (9.5 if flip else 10, 5, 130, 90))
    if flip:
        flip_labels(results)
    return results


@pytest.mark.parametrize('flip', [False, True])
def test_joints(oracle, flip):
    img, cam = oracle['joints/img'], oracle['joints/cam']
    results = sample(
        (200, 300),
        len(img),
        keypoints=img[..., :2],
        keypoints_visible=img[..., 2],
        keypoints3d=cam[..., :3],
        keypoints3d_visible=cam[..., 3],
    )
    persons = warp(results, flip)['gt_persons']
    theirs = f'joints/flip{int(flip)}'
    expected = oracle[f'{theirs}/joint_img'][..., :2] / (12, 16) * (130, 90)
    np.testing.assert_allclose(persons['keypoints'], expected, atol=2e-4)
    expected = oracle[f'{theirs}/joint_cam_wo_ra']
    np.testing.assert_allclose(
        persons['keypoints3d'], expected[..., :3], atol=1e-6
    )
    np.testing.assert_array_equal(
        persons['keypoints3d_visible'], expected[..., 3]
    )
    if not flip:  # the original tests the wrong joint when it flips
        inside = points_inside(persons['keypoints'], (90, 130))
        inside &= (img[..., :2] >= 0).all(-1)
        visible = persons['keypoints_visible'] * inside
        np.testing.assert_array_equal(
            visible, oracle[f'{theirs}/joint_trunc'][..., 0]
        )


def test_boxes(oracle):
    rows = oracle['bbox_transform/rows']
    checked = 0
    for x0, y0, x1, y1, is_none, flip, *expected, valid in rows:
        if is_none:
            continue
        box = np.float32([[x0, y0, x1, y1]])
        results = warp(sample((200, 300), bboxes=box), bool(flip))
        kept = FilterWholeBody()(results)
        assert (kept is not None) == bool(valid)
        if valid:
            np.testing.assert_allclose(
                kept['gt_persons']['bboxes'][0],
                np.array(expected) * (130, 90, 130, 90),
                atol=2e-4,
            )
        checked += 1
    assert checked == 8
