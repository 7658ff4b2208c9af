# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The dataset: broken rows, missing images, workers, determinism."""

from __future__ import annotations

import shutil

import cv2
import numpy as np
import pytest
import torch
from gt_fields import check_gt_instances
from mmengine.dataset import worker_init_fn
from torch.utils.data import DataLoader

from aios.datasets import HumanData, HumanDataError, HumanDataset
from aios.registry import DATASETS
from aios.structures import SMPLX_137

TRAIN = [
    {'type': 'LoadImage'},
    {'type': 'LoadHumanAnnotations'},
    {'type': 'PersonGroupCrop'},
    {'type': 'WholeBodyRandomResize', 'short_sizes': (60, 90, 120)},
    {'type': 'WholeBodyFlip'},
    {'type': 'ChannelGain'},
    {'type': 'FilterWholeBody'},
    {'type': 'PackWholeBodyInputs'},
]


def _first(batch):
    return batch[0]


# -- broken rows --------------------------------------------------------------


def test_broken_rows_are_dropped_and_counted(toy, arrays, monkeypatch):
    arrays['keypoints3d_smplx'][0, 5] = np.nan
    arrays['keypoints2d_smplx'][1, 5] = np.nan
    arrays['smplx']['betas'][2, 0] = np.inf
    arrays['bbox_xywh'][3, 2] = 0
    arrays['bbox_xywh'][4, 0] = np.nan
    said = []
    monkeypatch.setattr(
        'aios.datasets.human_dataset.print_log',
        lambda message, **kwargs: said.append(message),
    )
    dataset = toy().open()
    assert len(dataset) == 1
    dropped = {d['rule']: d for d in dataset.labels.info['dropped']}
    assert {rule: d['first_row'] for rule, d in dropped.items()} == {
        'non_finite_keypoints3d': 0,
        'non_finite_keypoints2d': 1,
        'non_finite_body_model': 2,
        'empty_bbox': 3,
        'non_finite_bbox': 4,
    }
    assert all(d['persons'] == 1 for d in dropped.values())
    (table,) = said
    assert '1 images, 1 persons of 3 and 6' in table
    for rule in dropped:
        assert rule in table
    assert dataset.get_data_info(0)['img_id'] == 2


def test_rows_of_no_image_are_counted(toy, arrays):
    arrays['frame_range'] = np.array([[0, 1], [3, 6]])
    info = toy().open().labels.info
    assert info['dropped'] == [
        {'rule': 'no_range', 'persons': 2, 'first_row': 1}
    ]
    assert (info['num_images'], info['num_rows']) == (2, 6)


def test_a_masked_joint_may_be_anything(toy, arrays):
    arrays['keypoints2d_smplx'][:, 170] = np.nan
    assert len(toy().labels()['labels']) == 2


def test_box_confidence(toy, arrays):
    arrays['bbox_xywh'][0, 4] = 0.2
    assert len(toy().labels()['labels']) == 2
    assert len(toy().labels(min_bbox_conf=0.5)['labels']) == 1


def test_boxes_are_clipped_and_scaled(toy, arrays):
    arrays['bbox_xywh'][0] = (-10, 100, 50, 60, 1)
    arrays['lhand_bbox_xywh'][0] = (100, 100, 20, 20, 1)
    arrays['lhand_bbox_xywh'][1, 2] = 0
    persons = toy().labels(body_bbox_ratio=0.5, part_bbox_ratio=2)
    assert persons['bboxes'][0].tolist() == [2.5, 115, 27.5, 145]
    assert persons['lhand_bboxes'][0].tolist() == [90, 90, 130, 130]
    assert persons['lhand_valid'].tolist() == [1, 0]


def test_nothing_left(toy, arrays):
    arrays['bbox_xywh'][:, 2] = 0
    with pytest.raises(HumanDataError, match='empty_bbox'):
        toy().labels()


def test_missing_images(toy):
    files = toy()
    (files.root / 'images/000001.png').unlink()
    with pytest.raises(HumanDataError) as caught:
        files.open()
    message = str(caught.value)
    assert 'missing_image' in message
    assert 'row 2' in message
    assert '000001.png' in message
    dropping = files.open(filter_cfg={'missing_images': 'drop'})
    assert [dropping.get_data_info(i)['img_id'] for i in range(2)] == [0, 2]
    ignoring = files.open(filter_cfg={'missing_images': 'ignore'})
    assert len(ignoring) == 3


@pytest.mark.parametrize('size', [0, -3, 1e308, np.inf, np.nan, None])
def test_sizes_that_no_image_has(toy, arrays, size):
    arrays['meta']['width'][2] = size
    files = toy()
    with pytest.raises(
        HumanDataError, match=r'meta\.height, row 2: .* numbers of pixels'
    ):
        files.open()


def test_sizes_as_columns(toy, arrays):
    for name in ('height', 'width'):
        arrays['meta'][name] = np.array(arrays['meta'][name])[:, None]
    info = toy().open().get_data_info(0)
    assert (info['height'], info['width']) == (240, 320)


def test_min_persons(toy):
    dataset = toy().open(filter_cfg={'min_persons': 2})
    assert len(dataset) == 2


def test_images_without_persons(toy, arrays):
    """Trained on if wanted, and always there in tests."""
    arrays['misc'] = {
        'empty_images': dict(
            image_path=['images/empty_2.png', 'images/empty_0.png'],
            height=[240, 240],
            width=[320, 320],
        )
    }
    files = toy()
    for number in (0, 2):
        image = files.root / f'images/00000{number}.png'
        shutil.copy(image, image.with_name(f'empty_{number}.png'))
    plain = files.open()
    assert len(plain) == 3
    for kwargs in ({'filter_cfg': {'min_persons': 0}}, {'test_mode': True}):
        dataset = files.open(pipeline=TRAIN, **kwargs)
        assert len(dataset) == 5
        assert dataset.get_data_info(4)['img_id'] == 4
        sample = dataset[3]
        assert len(sample['data_samples'].gt_instances) == 0
        check_gt_instances(sample['data_samples'].gt_instances)
    every_second = files.open(filter_cfg={'min_persons': 0}, sample_interval=2)
    assert len(every_second) == 3


@pytest.mark.parametrize(
    'twice', ['images/empty.png', 'images/000002.png', 'images\\000002.png']
)
def test_images_without_persons_that_are_listed_twice(toy, arrays, twice):
    """Or that have persons: they would be learned as background."""
    names = ['images/empty.png', twice]
    arrays['misc'] = {
        'empty_images': dict(image_path=names, height=[4, 4], width=[6, 6])
    }
    message = r'empty_images, row 1: images/\w+\.png is listed twice'
    with pytest.raises(HumanDataError, match=message):
        toy().open()


def test_no_image_has_persons(toy, arrays):
    root = toy().root

    def nobody(value):
        if isinstance(value, dict):
            return {name: nobody(part) for name, part in value.items()}
        return value if isinstance(value, (str, bool)) else value[:0]

    content = {
        key: value if key.endswith('_mask') else nobody(value)
        for key, value in arrays.items()
    }
    content['misc'] = {
        'empty_images': dict(
            image_path=['images/000002.png'], height=[240], width=[320]
        )
    }
    files = toy(content, 'nobody.npz')
    dataset = HumanDataset(
        files.ann_file, str(root), pipeline=TRAIN, test_mode=True
    )
    assert len(dataset) == 1
    check_gt_instances(dataset[0]['data_samples'].gt_instances)
    assert len(dataset[0]['data_samples'].gt_instances) == 0


@pytest.mark.parametrize(
    'listed',
    [
        ['a.png'],
        dict(image_path=['a.png'], height=[1]),
        dict(image_path=['a.png'], height=[1, 2], width=[1, 2]),
        dict(image_path=[3], height=[1], width=[1]),
        dict(image_path=['a.png'], height=[0], width=[1]),
        dict(image_path=['a.png'], height=[1 << 40], width=[1]),
    ],
)
def test_bad_lists_of_images_without_persons(toy, arrays, listed):
    arrays['misc'] = {'empty_images': listed}
    files = toy()
    with pytest.raises(HumanDataError, match=r'misc\.empty_images'):
        files.open()


@pytest.mark.parametrize(
    ('kwargs', 'words'),
    [
        ({'filter_cfg': {'mising_images': 'drop'}}, 'mising_images'),
        ({'filter_cfg': {'missing_images': 'skip'}}, 'ignore'),
        ({'flat_hand_mean': 'maybe'}, 'auto'),
        ({'part_valid_source': 'conf'}, 'bbox'),
        ({'sample_interval': 0}, 'sample_interval'),
        ({'videos': 'quiz'}, "videos must be a list, got 'quiz'"),
    ],
)
def test_bad_arguments(toy, kwargs, words):
    files = toy()
    with pytest.raises(ValueError, match=words):
        files.open(**kwargs)


def test_absent_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'absent\.npz'):
        HumanDataset('absent.npz', str(tmp_path))


# -- as a dataset ------------------------------------------------------------


def test_registered_and_described(toy):
    files = toy()
    dataset = DATASETS.build(
        {
            'type': 'HumanDataset',
            'ann_file': 'humandata.npz',
            'data_root': str(files.root),
            'pipeline': TRAIN,
            'indices': 2,
        }
    )
    assert len(dataset) == 2
    assert dataset.metainfo['classes'] == ('unused', 'person')
    assert len(dataset.metainfo['keypoint_flip_pairs']) == 61
    sample = dataset[0]['data_samples']
    check_gt_instances(sample.gt_instances)


def test_changed_file_is_read_again(toy, arrays):
    files = toy()
    assert files.labels()['smplx_betas'][0, 0] != 42
    arrays['smplx']['betas'][0, 0] = 42
    assert toy().labels()['smplx_betas'][0, 0] == 42


def _seed(worker_id):
    worker_init_fn(worker_id, num_workers=2, rank=0, seed=7)


def test_deterministic_with_workers(toy):
    files = toy()

    def epoch():
        dataset = files.open(pipeline=TRAIN)
        loader = DataLoader(
            dataset,
            num_workers=2,
            collate_fn=_first,
            worker_init_fn=_seed,
        )
        return list(loader)

    for one, other in zip(epoch(), epoch(), strict=True):
        torch.testing.assert_close(one['inputs'], other['inputs'])
        mine, yours = (s['data_samples'].gt_instances for s in (one, other))
        for name in mine.keys():  # noqa: SIM118
            torch.testing.assert_close(mine[name], yours[name])


def test_dots_through_file_and_pipeline(toy, arrays):
    """From the file to the sample: the dot is where the label says."""
    files = toy()
    nose = SMPLX_137.index('nose')
    x, y = arrays['keypoints2d_smplx'][2, 55, :2].round().astype(int)
    arrays['keypoints2d_smplx'][2, 55, :2] = x + 0.5, y + 0.5
    HumanData(arrays).dump(files.ann_file, overwrite=True)
    img = np.zeros((240, 320, 3), np.uint8)
    img[y - 1 : y + 2, x - 1 : x + 2] = 255
    cv2.imwrite(str(files.root / 'images/000001.png'), img)
    steps = [dict(step) for step in TRAIN]
    steps[3]['short_sizes'] = (240, 480)
    dataset = files.open(pipeline=steps)
    for _ in range(8):
        item = dataset[1]
        label = item['data_samples'].gt_instances.keypoints[0, nose]
        weight = item['inputs'].sum(0)
        where = torch.nonzero(weight > 0.5 * weight.max()).float().mean(0)
        where += 0.5  # the center of a pixel
        scale = max(item['data_samples'].scale_factor)
        assert (where.flip(0) - label).abs().max() < scale
