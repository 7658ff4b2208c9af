# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Broken and hostile files: refused with file, row, field and rule."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
from hostile_pickles import Call

from aios.datasets import HumanData, HumanDataError
from aios.datasets.faults import RULES
from aios.datasets.finite import find_non_finite


def change(*path, to):
    """A function that sets one entry of the arrays."""

    def apply(arrays):
        *outer, last = path
        for key in outer:
            arrays = arrays[key]
        arrays[last] = to(arrays.get(last)) if callable(to) else to

    return apply


def ragged(rows):
    """Rows of four and of five numbers."""
    boxes = np.empty(len(rows), object)
    boxes[:] = [row[: 4 + i % 2] for i, row in enumerate(rows)]
    return boxes


CASES = {
    'image_path': (
        'outside',
        change('image_path', to=lambda paths: ['../x.jpg', *paths[1:]]),
        'a relative path inside data_prefix',
    ),
    'keypoints2d_smplx': (
        'wrong_shape',
        change('keypoints2d_smplx', to=lambda a: a[:, :144]),
        'must have shape (6, 190, 3)',
    ),
    'keypoints3d_smplx': (
        'wrong_shape',
        change('keypoints3d_smplx', to=lambda a: a[..., :2]),
        'x, y, z, confidence',
    ),
    'bbox_xywh': (
        'wrong_shape',
        change('bbox_xywh', to=lambda a: a[:, :3]),
        'x, y, w, h, confidence',
    ),
    'bbox_xywh, ragged': (
        'wrong_type',
        change('bbox_xywh', to=ragged),
        'array of object',
    ),
    'face_bbox_xywh': (
        'wrong_length',
        change('face_bbox_xywh', to=lambda a: a[:5]),
        'must have 6 rows, got 5',
    ),
    'smplx.body_pose': (
        'wrong_shape',
        change('smplx', 'body_pose', to=lambda a: a[:, :20]),
        '63 numbers per row',
    ),
    'smplx.left_hand_pose': (
        'wrong_shape',
        change('smplx', 'left_hand_pose', to=np.zeros((6, 12))),
        'PCA',
    ),
    'smplx.betas': (
        'wrong_shape',
        change('smplx', 'betas', to=lambda a: a[:, :8]),
        'at least 10',
    ),
    'smplx.transl': (
        'wrong_length',
        change('smplx', 'transl', to=lambda a: a[:4]),
        '6 rows',
    ),
    'smplx': ('wrong_type', change('smplx', to=[1, 2]), 'dictionary'),
    'smplx.jaw_pose': (
        'wrong_type',
        change('smplx', 'jaw_pose', to=['a'] * 6),
        'array of numbers',
    ),
    'keypoints2d_smplx_convention': (
        'unknown_convention',
        change('keypoints2d_smplx_convention', to='kinect'),
        'human_data',
    ),
    'keypoints3d_smplx_convention': (
        'unknown_convention',
        change('keypoints3d_smplx_convention', to=np.array(['human_data'])),
        "['human_data']",
    ),
    'keypoints2d_smplx_mask': (
        'wrong_mask',
        change('keypoints2d_smplx_mask', to=np.ones(144, np.uint8)),
        '(190,)',
    ),
    'keypoints2d_smplx_mask, percent': (
        'wrong_mask',
        change('keypoints2d_smplx_mask', to=np.full(190, 100)),
        'got 100',
    ),
    'meta.gender': (
        'unknown_gender',
        change('meta', 'gender', to=['neutral'] * 5 + ['kid']),
        'male',
    ),
    'meta.height': (
        'wrong_length',
        change('meta', 'height', to=[240]),
        '6 rows',
    ),
    'meta.focal_length': (
        'wrong_shape',
        change('meta', 'focal_length', to=np.tile(np.eye(3), (6, 1, 1))),
        '1 or 2 numbers per row, got shape (6, 3, 3)',
    ),
    'meta.smplx_valid': (
        'wrong_type',
        change('meta', 'smplx_valid', to=[1, 1, None, 1, 1, 1]),
        'array of object',
    ),
    'meta.is_kid': (
        'wrong_type',
        change('meta', 'is_kid', to=['0', '1', '0', '0', '0', '0']),
        'array of numbers',
    ),
    'image_path, empty': (
        'wrong_type',
        change('image_path', to=lambda a: [*a[:3], '', *a[4:]]),
        'row 3',
    ),
    'frame_range': (
        'wrong_frame_range',
        change('frame_range', to=np.array([[0, 3], [2, 6]])),
        'overlap',
    ),
}


@pytest.mark.parametrize('field', CASES)
def test_refused_when_read(arrays, tmp_path, field):
    rule, apply, words = CASES[field]
    apply(arrays)
    path = tmp_path / 'bad.npz'
    np.savez(path, **{k: np.array(v, object) if isinstance(v, dict) else v
                      for k, v in arrays.items()})  # fmt: skip
    with pytest.raises(HumanDataError) as caught:
        HumanData.load(path)
    message = str(caught.value)
    assert str(path) in message
    assert words in message
    found = [(f.rule, f.field) for f in caught.value.faults]
    assert found == [(rule, field.partition(',')[0])]
    assert rule in RULES


def test_refused_when_written(arrays, tmp_path):
    next(iter(CASES.values()))[1](arrays)
    with pytest.raises(HumanDataError):
        HumanData(arrays).dump(tmp_path / 'bad.npz')
    assert list(tmp_path.iterdir()) == []


def test_a_range_holds_one_image(arrays):
    data = HumanData(arrays)
    with pytest.raises(HumanDataError, match='row 2.*one image'):
        data.set_frame_range(np.array([[0, 3], [3, 6]]))


def test_wrong_attribute(arrays, tmp_path):
    np.savez(tmp_path / 'a.npz', __data_len__=99, **arrays)
    with pytest.raises(HumanDataError, match='__data_len__.*99'):
        HumanData.load(tmp_path / 'a.npz')
    data = HumanData.load(tmp_path / 'a.npz', check=False)
    assert len(data) == 6


def test_compressed_mask_that_does_not_fit(arrays, tmp_path):
    data = HumanData(arrays)
    data.compress()
    data.dump(tmp_path / 'a.npz')
    content = dict(np.load(tmp_path / 'a.npz', allow_pickle=True))
    content['keypoints2d_smplx_mask'][150] = 1
    np.savez(tmp_path / 'a.npz', **content)
    with pytest.raises(HumanDataError, match=r'\(6, 145, 3\)'):
        HumanData.load(tmp_path / 'a.npz')


@pytest.mark.parametrize('suffix', ['npz', 'pkl'])
def test_hostile_files_run_nothing(arrays, tmp_path, suffix):
    path = tmp_path / f'evil.{suffix}'
    arrays['misc'] = {'x': Call(os.mkdir, str(tmp_path / 'made'))}
    if suffix == 'npz':
        np.savez(path, **arrays)
    else:
        path.write_bytes(pickle.dumps(arrays))
    with pytest.raises(HumanDataError, match='mkdir') as caught:
        HumanData.load(path)
    assert [fault.rule for fault in caught.value.faults] == ['unsafe_content']
    assert not (tmp_path / 'made').exists()


def test_damaged_file(arrays, tmp_path):
    HumanData(arrays).dump(tmp_path / 'a.npz')
    content = (tmp_path / 'a.npz').read_bytes()
    (tmp_path / 'a.npz').write_bytes(content[: len(content) // 2])
    with pytest.raises(HumanDataError, match='unreadable'):
        HumanData.load(tmp_path / 'a.npz')
    (tmp_path / 'list.pkl').write_bytes(pickle.dumps([1]))
    with pytest.raises(HumanDataError, match='must be a dictionary'):
        HumanData.load(tmp_path / 'list.pkl')
    with pytest.raises(FileNotFoundError):
        HumanData.load(tmp_path / 'absent.npz')


def test_non_finite_labels_are_found(arrays):
    assert find_non_finite(arrays) == []
    arrays['keypoints2d_smplx'][4, 3] = np.nan
    arrays['smplx']['betas'][1:3, 0] = np.inf
    found = {f.field: (f.row, f.count) for f in find_non_finite(arrays)}
    assert found == {'keypoints2d_smplx': (4, 1), 'smplx.betas': (1, 2)}
