# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Transforms of mmcv and mmdet: labels follow, or the sample is refused."""

from __future__ import annotations

import mmcv.transforms as mmcv
import mmdet.datasets.transforms as mmdet
import numpy as np
import pytest
from mmdet.datasets import MultiImageMixDataset
from mmengine.dataset import ClassBalancedDataset, Compose
from test_transforms import POINTS, assert_dots, loaded

from aios.datasets import HumanDataset
from aios.datasets.pipeline import LabelPipeline
from aios.datasets.transforms import (
    LoadHumanAnnotations,
    LoadImage,
    PackWholeBodyInputs,
    WholeBodyFlip,
    WholeBodyResize,
)

FOLLOWED = {
    'mmcv.RandomFlip': mmcv.RandomFlip(prob=1.0),
    'mmcv.Resize': mmcv.Resize(scale=(320, 240)),
    'mmcv.Resize, ratio': mmcv.Resize(scale=(320, 480)),
    'mmcv.RandomChoiceResize': mmcv.RandomChoiceResize(
        scales=[(320, 240)], keep_ratio=True
    ),
    'mmcv.Pad': mmcv.Pad(size=(200, 140)),
    'mmdet.RandomFlip': mmdet.RandomFlip(prob=1.0),
    'mmdet.Resize': mmdet.Resize(scale=(320, 240), keep_ratio=True),
    'mmdet.RandomCrop': mmdet.RandomCrop((150, 110)),
    'mmdet.TranslateX': mmdet.TranslateX(
        prob=1.0, level=3, min_mag=0.1, max_mag=0.1, img_border_value=0
    ),
}
REFUSED = {
    'mmcv.CenterCrop': (mmcv.CenterCrop((100, 100)), 'CenterCrop.*img_shape'),
    'mmcv.RandomFlip': (
        mmcv.RandomFlip(prob=1.0, direction='vertical'),
        'RandomFlip.*vertical',
    ),
    'mmdet.RandomFlip': (
        mmdet.RandomFlip(prob=1.0, direction='diagonal'),
        'RandomFlip.*homography_matrix',
    ),
    'mmdet.Expand': (mmdet.Expand(prob=1.0), 'Expand.*img_shape'),
    'mmdet.Rotate': (
        mmdet.Rotate(prob=1.0, level=5),
        'Rotate.*homography_matrix',
    ),
    'mmdet.ShearX': (
        mmdet.ShearX(prob=1.0, level=5),
        'ShearX.*homography_matrix',
    ),
    'mmdet.LoadAnnotations': (
        mmdet.LoadAnnotations(with_bbox=True),
        'LoadAnnotations.*gt_bboxes.*LoadHumanAnnotations',
    ),
    'mmdet.MinIoURandomCrop': (
        mmdet.MinIoURandomCrop(),
        'MinIoURandomCrop.*gt_bboxes',
    ),
}


@pytest.fixture(autouse=True)
def _same_draws():
    np.random.seed(1)  # noqa: NPY002, what mmcv and mmdet draw from


@pytest.mark.parametrize('name', FOLLOWED)
@pytest.mark.parametrize('before', [[], [WholeBodyFlip(1.0)]])
@pytest.mark.parametrize('compose', [LabelPipeline, Compose])
def test_labels_follow(name, before, compose):
    steps = [*before, FOLLOWED[name], WholeBodyFlip(1.0)]
    results = compose(steps)(loaded(POINTS))
    scale = max(results['scale_factor'])
    assert_dots(results, 3, 0.05 * scale)
    height, width = results['img_shape']
    assert results['img'].shape[:2] == (height, width)
    x, y, _ = results['homography_matrix'] @ (*np.add(POINTS[0], 0.5), 1)
    np.testing.assert_allclose(
        results['gt_persons']['keypoints'][0, 0], (x, y), atol=1e-3
    )
    flips = 1 + len(before) + name.endswith('Flip')
    assert results['flip'] == bool(flips % 2)


def test_several_at_once_without_our_pipeline():
    """PackWholeBodyInputs is the first of ours to see them."""
    steps = [mmcv.Resize(scale=(320, 240)), mmcv.RandomFlip(prob=1.0)]
    packed = Compose([*steps, PackWholeBodyInputs()])(loaded(POINTS))
    sample = packed['data_samples']
    x, y = np.multiply(np.add(POINTS[0], 0.5), 2)
    found = sample.gt_instances.keypoints[0, 0]
    np.testing.assert_allclose(found, (320 - x, y), atol=1e-4)
    assert sample.flip and sample.scale_factor == (2.0, 2.0)


def test_scale_factor_of_two_resizes_is_their_product():
    steps = [WholeBodyResize((320, 240)), mmcv.Resize(scale=(160, 120))]
    results = LabelPipeline(steps)(loaded(POINTS))
    assert results['scale_factor'] == (1.0, 1.0)
    assert_dots(results, 3, 0.6)  # the first one is off by half a pixel


def test_images_without_labels_keep_their_record():
    """What predictions are mapped back with."""
    results = loaded(POINTS)
    del results['gt_persons']
    steps = [mmcv.Resize(scale=(320, 240)), mmcv.RandomFlip(prob=1.0)]
    sample = Compose([*steps, PackWholeBodyInputs()])(results)['data_samples']
    wanted = [[-2, 0, 320], [0, 2, 0], [0, 0, 1]]
    np.testing.assert_allclose(sample.homography_matrix, wanted)


@pytest.mark.parametrize('name', REFUSED)
def test_others_are_refused_by_name(name):
    transform, message = REFUSED[name]
    with pytest.raises(ValueError, match=f'(?s){message}'):
        LabelPipeline([transform])(loaded(POINTS))


@pytest.mark.parametrize('name', ['mmcv.CenterCrop', 'mmdet.Expand'])
def test_packing_refuses_what_was_not_noticed(name):
    steps = [REFUSED[name][0], PackWholeBodyInputs()]
    with pytest.raises(ValueError, match=r'img_shape.*a\.png.*WholeBodyFlip'):
        Compose(steps)(loaded(POINTS))


def test_image_and_img_shape_must_agree():
    def crop(results):
        return {**results, 'img': results['img'][:50]}

    with pytest.raises(ValueError, match=r'function.*\(50, 160\).*img_shape'):
        LabelPipeline([crop])(loaded(POINTS))


def test_data_set_names_the_transform(toy):
    files = toy()
    load = [LoadImage(), LoadHumanAnnotations()]
    pack = [PackWholeBodyInputs()]
    dataset = HumanDataset(
        files.ann_file,
        data_prefix=dict(img=str(files.root)),
        pipeline=[*load, dict(type='mmdet.Expand', prob=1.0), *pack],
    )
    with pytest.raises(ValueError, match=r'Expand \(step 2 .*000000\.png'):
        dataset[0]


@pytest.mark.parametrize('name', ['Mosaic', 'MixUp'])
def test_mixes_of_images_say_what_they_lack(toy, name):
    files = toy()
    dataset = HumanDataset(
        files.ann_file,
        data_prefix=dict(img=str(files.root)),
        pipeline=[LoadImage(), LoadHumanAnnotations()],
    )
    mixed = MultiImageMixDataset(dataset, [dict(type=f'mmdet.{name}')])
    with pytest.raises(KeyError, match=r'gt_bboxes.*gt_persons.*Mosaic'):
        mixed[0]


def test_class_balanced_data_sets(toy):
    files = toy()
    dataset = HumanDataset(
        files.ann_file, data_prefix=dict(img=str(files.root))
    )
    assert dataset.get_cat_ids(2) == [1, 1, 1]
    assert len(ClassBalancedDataset(dataset, oversample_thr=0.1)) == 3
