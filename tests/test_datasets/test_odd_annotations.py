# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Odd numbers and odd content of annotations: dropped by name, or refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from aios.datasets import (
    CocoImageDataset,
    HumanData,
    HumanDataError,
    HumanDataset,
)
from aios.datasets.converters import COCOConverter, ConverterError
from aios.datasets.converters.base import convert

IMAGE = dict(id=1, file_name='a.jpg', height=4, width=6)


@pytest.fixture
def coco(converted, models, tmp_path):
    """Convert COCO after its annotations, or its fits, were changed."""
    source = converted('coco')[0] / 'annotations'

    def run(change, fits=False):
        shutil.copytree(source, tmp_path / 'annotations')
        pattern = '*SMPLX*.json' if fits else '*wholebody*.json'
        (path,) = (tmp_path / 'annotations').glob(pattern)
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
        return convert(
            COCOConverter(tmp_path, 'train', models), tmp_path / 'out.npz'
        )

    return run


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf, 1e19, 1e308])
@pytest.mark.parametrize('field', ['bbox', 'face_kpts', 'keypoints'])
def test_numbers_that_are_no_pixels_drop_the_person(coco, value, field):
    def change(content):
        values = content['annotations'][1][field]
        values[0] = value
        if field != 'bbox':
            values[2] = 2  # visible

    summary = coco(change)
    reasons = {k: v for k, v in summary.counts.items() if v}
    dropped = reasons.pop('empty box', 0) + reasons.pop(
        'number not finite, or beyond 1e7', 0
    )
    assert (dropped, summary.persons) == (1, 3)
    data = HumanData.load(summary.path)
    assert np.abs(data['keypoints2d_ori']).max() < 1e7


@pytest.mark.parametrize('value', [np.nan, np.inf, 1e19])
def test_fits_that_are_no_numbers_drop_the_person(coco, value):
    def change(content):
        content['101']['smplx_param']['trans'][2] = value

    summary = coco(change, fits=True)
    assert summary.counts['number not finite, or beyond 1e7'] == 1
    assert summary.persons == 3


@pytest.mark.parametrize(
    ('group', 'field', 'value', 'message'),
    [
        ('annotations', 'bbox', None, r'annotation 100: bbox must be 4'),
        ('annotations', 'bbox', [1, 2, 3], r'annotation 100: bbox must be 4'),
        ('annotations', 'foot_kpts', [1, 2], r'100: foot_kpts must be 18'),
        ('annotations', 'lefthand_box', 'abc', r'lefthand_box must be 4'),
        ('images', 'height', None, r'image 9: height must be a number'),
        ('images', 'height', -480, r'image 9: height'),
        ('images', 'width', 1e308, r'image 9: width'),
        ('images', 'width', np.nan, r'image 9: width'),
        ('images', 'file_name', None, r'image 9: file_name'),
        ('images', 'id', [], r'content \(TypeError'),
    ],
)
def test_content_of_another_kind_is_refused(
    coco, group, field, value, message
):
    def change(content):
        content[group][0][field] = value

    with pytest.raises(ConverterError, match=message) as error:
        coco(change)
    assert 'coco_wholebody_train_v1.0.json' in str(error.value)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ('[' * 100_000, 'damaged or not JSON'),
        ('{"images": [', 'damaged or not JSON'),
        ('[]', 'not a COCO file'),
        ({'images': None}, 'not a COCO file'),
        ({'images': [IMAGE, None]}, r'images\[1\]\.id must be an integer'),
        ({'images': [dict(IMAGE, id='1')]}, r'images\[0\]\.id'),
        ({'images': [dict(IMAGE, file_name=None)]}, r'file_name'),
        ({'images': [dict(IMAGE, height=-3)]}, r'height must be .* -3'),
        ({'images': [dict(IMAGE, width=1e19)]}, r'width must be .*1e\+19'),
        ({'images': [dict(IMAGE, width=np.nan)]}, r'width must be .*nan'),
        ({'images': [IMAGE, IMAGE]}, r'two images have the id'),
    ],
)
def test_images_of_coco(tmp_path, content, message):
    path = tmp_path / 'coco.json'
    if not isinstance(content, str):
        content = json.dumps(content)
    path.write_text(content)
    with pytest.raises(ValueError, match=rf'coco\.json: .*{message}'):
        CocoImageDataset(str(path))


@pytest.mark.parametrize(
    ('key', 'value'),
    [
        ('image_path', np.array([['a'], ['b', 'c']], dtype=object)),
        ('frame_range', np.array([[0], [1, 2]], dtype=object)),
        ('keypoints2d_smplx_convention', np.array({}, dtype=object)),
        ('keypoints2d_smplx_mask', np.array(5)),
        ('meta', {'gender': [[1], [2, 3]]}),
        ('meta', {'height': 'tall', 'width': None}),
        ('misc', {'flat_hand_mean': [[1], [2, 3]]}),
    ],
)
def test_odd_values_name_the_file(arrays, tmp_path, key, value):
    path = tmp_path / 'odd.npz'
    np.savez(path, **{**arrays, key: value})
    with pytest.raises(HumanDataError, match=r'odd\.npz') as error:
        HumanDataset(str(path), filter_cfg=dict(missing_images='ignore'))
    assert str(key).partition('_')[0] in str(error.value) or (
        'unexpected content' in str(error.value)
    )
