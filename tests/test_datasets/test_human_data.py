# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The file format: containers, masks, images."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aios.datasets import HumanData
from aios.structures import HUMAN_DATA_190, SMPLX_137, joint_mapping


def test_files_name_no_private_module_of_numpy(arrays, tmp_path):
    arrays['misc']['count'] = np.int64(3)
    data = HumanData(arrays)
    data.dump(tmp_path / 'a.npz')
    data.dump(tmp_path / 'a.pkl')
    content = (tmp_path / 'a.pkl').read_bytes()
    with zipfile.ZipFile(tmp_path / 'a.npz') as archive:
        content += b''.join(map(archive.read, archive.namelist()))
    assert b'_core' not in content
    assert b'numpy' in content


def test_any_key_with_a_mask_is_decompressed(arrays):
    """The original knows a list of names and dies on UBody's."""
    arrays['keypoints2d_ubody'] = np.ones((6, 190, 4), np.float32)
    arrays['keypoints2d_ubody_mask'] = (np.arange(190) % 2).astype(np.uint8)
    arrays['keypoints2d_smplx_trunc'] = np.ones((6, 190, 1), np.float32)
    arrays['keypoints2d_smplx_trunc_mask'] = np.ones(190, np.uint8)
    data = HumanData(arrays)
    data.compress()
    assert data.raw('keypoints2d_ubody').shape == (6, 95, 4)
    data.decompress()
    ubody = data['keypoints2d_ubody']
    np.testing.assert_array_equal(ubody[:, ::2], 0)
    np.testing.assert_array_equal(ubody[:, 1::2], 1)


def test_compress_without_a_mask_loses_nothing(arrays):
    del arrays['keypoints2d_smplx_mask']
    data = HumanData(arrays)
    data.compress()
    assert data.raw('keypoints2d_smplx').shape == (6, 190, 3)
    assert data['keypoints2d_smplx_mask'].all()


@pytest.mark.parametrize('compress', [False, True])
def test_hips_of_coco_are_found_whatever_their_name(arrays, compress):
    """A joint that a mask excludes does not hide one of nearly the place."""
    hips = [HUMAN_DATA_190.index(f'{s}_hip') for s in ('left', 'right')]
    extra = [HUMAN_DATA_190.index(f'{s}_hip_extra') for s in ('left', 'right')]
    points = arrays['keypoints2d_smplx']
    expected = points[:, hips].copy()
    points[:, extra], points[:, hips] = points[:, hips], 0
    mask = arrays['keypoints2d_smplx_mask']
    mask[extra], mask[hips] = 1, 0
    data = HumanData(arrays)
    if compress:
        data.compress()
    joints = data.joints('keypoints2d_smplx', SMPLX_137)
    np.testing.assert_array_equal(joints[:, 1:3], expected)
    np.testing.assert_array_equal(joints[:, 3], points[:, 4])


@settings(deadline=None, max_examples=30)
@given(
    mask=st.lists(st.booleans(), min_size=190, max_size=190),
    rows=st.integers(0, 3),
)
def test_joints_of_compressed_and_plain_are_equal(mask, rows):
    mask = np.array(mask, np.uint8)
    points = np.arange(rows * 190 * 3, dtype=np.float32) + 1
    points = points.reshape(rows, 190, 3) * mask[:, None]
    data = HumanData(
        {'keypoints2d': points, 'keypoints2d_mask': mask},
    )
    own = joint_mapping(HUMAN_DATA_190, SMPLX_137)
    known = mask[own] > 0
    plain = data.joints('keypoints2d', SMPLX_137)
    np.testing.assert_array_equal(plain[:, known], points[:, own[known]])
    data.compress()
    packed = data.joints('keypoints2d', SMPLX_137)
    np.testing.assert_array_equal(packed, plain)


def test_joints_of_another_convention():
    points = np.ones((1, 17, 3), np.float32)
    data = HumanData({'keypoints2d': points, 'keypoints2d_convention': 'coco'})
    joints = data.joints('keypoints2d', SMPLX_137)
    assert joints[0, SMPLX_137.index('left_hip'), 2] == 1
    assert joints[0, SMPLX_137.index('pelvis'), 2] == 0


def test_old_files(arrays, tmp_path):
    """Boxes without confidence, no attribute, another name of it."""
    arrays['bbox_xywh'] = arrays['bbox_xywh'][:, :4]
    np.savez(tmp_path / 'old.npz', __temporal_len__=6, **arrays)
    data = HumanData.load(tmp_path / 'old.npz')
    assert not data.compressed
    assert data['bbox_xywh'].shape == (6, 5)
    np.testing.assert_array_equal(data['bbox_xywh'][:, 4], 1)
    assert data['smplx']['betas'].shape == (6, 10)


def test_whole_pixels_without_confidence(arrays, tmp_path):
    pixels = arrays['keypoints2d_smplx'][..., :2].astype(np.int32)
    arrays['keypoints2d_smplx'] = pixels
    np.savez(tmp_path / 'whole.npz', **arrays)
    points = HumanData.load(tmp_path / 'whole.npz')['keypoints2d_smplx']
    np.testing.assert_array_equal(points[..., :2], pixels)
    assert points[:, :144, 2].all()
    assert not points[:, 144:, 2].any()


def test_load_some_keys(arrays, tmp_path):
    HumanData(arrays).dump(tmp_path / 'a.npz')
    data = HumanData.load(tmp_path / 'a.npz', keys=['bbox_xywh', 'absent'])
    assert list(data) == ['bbox_xywh']
    assert len(data) == 6


def test_unknown_keys_are_kept(arrays, tmp_path):
    arrays['contact'] = np.arange(6)
    arrays['smplx']['flat_hand_mean'] = [False]
    HumanData(arrays).dump(tmp_path / 'a.npz')
    data = HumanData.load(tmp_path / 'a.npz')
    np.testing.assert_array_equal(data['contact'], np.arange(6))
    assert data['smplx']['flat_hand_mean'] == [False]


def test_never_overwrites_silently(arrays, tmp_path):
    data = HumanData(arrays)
    data.dump(tmp_path / 'a.npz')
    with pytest.raises(FileExistsError, match=r'a\.npz'):
        data.dump(tmp_path / 'a.npz')
    data.dump(tmp_path / 'a.npz', overwrite=True)
    with pytest.raises(ValueError, match='npz or .pkl'):
        data.dump(tmp_path / 'a.json')


@pytest.mark.parametrize('suffix', ['.npz', '.pkl'])
def test_failed_dump_leaves_nothing(arrays, tmp_path, suffix):
    arrays['misc']['handle'] = object()
    with pytest.raises(TypeError, match=r'misc\.handle'):
        HumanData(arrays).dump(tmp_path / f'a{suffix}')
    assert list(tmp_path.iterdir()) == []


def test_images_by_frame_range_and_by_path(arrays):
    data = HumanData(arrays)
    assert len(data.images(group_by_image=False)) == 6
    data.set_frame_range()
    np.testing.assert_array_equal(
        data['frame_range'], [[0, 2], [2, 3], [3, 6]]
    )
    for group in (True, False):
        rows = [r.tolist() for r in data.images(group_by_image=group)]
        assert rows == [[0, 1], [2], [3, 4, 5]]


def test_scattered_rows_come_together():
    data = HumanData({'image_path': ['b', 'a', 'b', 'c', 'a']})
    rows = [r.tolist() for r in data.images()]
    assert rows == [[0, 2], [1, 4], [3]]


def test_images_without_persons_are_legal():
    data = HumanData({'image_path': ['a', 'a']})
    data.set_frame_range(np.array([[0, 0], [0, 2], [2, 2]]))
    assert [r.tolist() for r in data.images()] == [[0, 1]]
    empty = HumanData({'image_path': []})
    empty.set_frame_range()
    assert len(empty) == 0
    assert empty.images() == []
