# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Round trips against mmhuman3d 0.11's own classes.

Their two files (Apache-2.0, tests/data/third_party) are loaded with stand-ins
for the few names they import from mmcv 1.x and mmhuman3d.
"""

from __future__ import annotations

import importlib.util
import sys
from enum import Enum
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from aios.datasets import HumanData, HumanDataError, UBodyDataset
from aios.datasets.repair import select_rows

THEIRS = Path(__file__).parents[1] / 'data/third_party/mmhuman3d'


class Existence(Enum):
    """mmhuman3d.utils.path_utils.Existence, as far as it is used."""

    FileExist = 0
    MissingFile = 2


def _stand_in(name, **content):
    module = ModuleType(name)
    vars(module).update(content)
    return module


def _load(name):
    spec = importlib.util.spec_from_file_location(
        f'mmhuman3d.data.data_structures.{name}', THEIRS / f'{name}.py'
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def theirs(monkeypatch):
    """Their classes ``HumanData`` and ``MultiHumanData``."""

    def exists(path, kind):
        found = Path(path).exists()
        return Existence.FileExist if found else Existence.MissingFile

    stand_ins = [
        _stand_in('mmcv.utils', print_log=lambda *args, **kwargs: None),
        _stand_in(
            'mmhuman3d.utils.path_utils',
            Existence=Existence,
            check_path_existence=exists,
            check_path_suffix=lambda p, s: Path(p).suffix in s,
        ),
        *map(
            _stand_in,
            (
                'mmhuman3d',
                'mmhuman3d.utils',
                'mmhuman3d.data',
                'mmhuman3d.data.data_structures',
                'mmhuman3d.data.data_structures.human_data',
                'mmhuman3d.data.data_structures.multi_human_data',
            ),
        ),
    ]
    for module in stand_ins:
        monkeypatch.setitem(sys.modules, module.__name__, module)
    single = _load('human_data').HumanData
    multi = _load('multi_human_data').MultiHumanData
    return SimpleNamespace(HumanData=single, MultiHumanData=multi)


def assert_same(one, other, where=''):
    """Nested content is equal: types, dtypes and values."""
    if isinstance(one, dict):
        assert set(one) == set(other), where
        for key in one:
            assert_same(one[key], other[key], f'{where}.{key}')
    elif isinstance(one, np.ndarray):
        assert one.dtype == other.dtype, where
        np.testing.assert_array_equal(one, other, err_msg=where)
    else:
        assert list(np.ravel(one)) == list(np.ravel(other)), where


def content_of(data):
    """All stored items of either class."""
    raw = data.raw if isinstance(data, HumanData) else data.get_raw_value
    return {key: raw(key) for key in data}


@pytest.mark.parametrize('suffix', ['.npz', '.pkl'])
@pytest.mark.parametrize('compressed', [False, True])
@pytest.mark.parametrize('kind', ['HumanData', 'MultiHumanData'])
def test_they_read_ours(theirs, arrays, tmp_path, suffix, compressed, kind):
    ours = HumanData(arrays)
    if kind == 'MultiHumanData':
        ours.set_frame_range()
    if compressed:
        ours.compress()
    path = str(tmp_path / f'ours{suffix}')
    ours.dump(path)

    read = getattr(theirs, kind)()
    read.load(path) if suffix == '.npz' else read.load_by_pickle(path)

    assert_same(content_of(read), content_of(ours))
    assert read.check_keypoints_compressed() is compressed
    images = 3 if kind == 'MultiHumanData' else 6
    assert read.data_len == images
    np.testing.assert_array_equal(
        read['keypoints2d_smplx'], arrays['keypoints2d_smplx']
    )


@pytest.mark.parametrize('suffix', ['.npz', '.pkl'])
@pytest.mark.parametrize('compressed', [False, True])
@pytest.mark.parametrize('kind', ['HumanData', 'MultiHumanData'])
def test_we_read_theirs(theirs, arrays, tmp_path, suffix, compressed, kind):
    written = getattr(theirs, kind)()
    for key, value in arrays.items():
        written[key] = value
    if kind == 'MultiHumanData':
        written['frame_range'] = np.array([[0, 2], [2, 3], [3, 6]])
    if compressed:
        written.compress_keypoints_by_mask()
    path = str(tmp_path / f'theirs{suffix}')
    written.dump(path) if suffix == '.npz' else written.dump_by_pickle(path)

    ours = HumanData.load(path)

    assert ours.compressed is compressed
    assert len(ours) == 6
    assert_same(content_of(ours), content_of(written))
    np.testing.assert_array_equal(
        ours['keypoints3d_smplx'], arrays['keypoints3d_smplx']
    )
    persons = [2, 1, 3]
    assert [len(rows) for rows in ours.images()] == persons


def test_compression_is_theirs(theirs, arrays):
    ours, read = HumanData(arrays), theirs.HumanData(arrays)
    ours.compress()
    read.compress_keypoints_by_mask()
    assert_same(content_of(ours), content_of(read))
    assert ours.raw('keypoints2d_smplx').shape == (6, 144, 3)
    np.testing.assert_array_equal(
        ours['keypoints2d_smplx'], arrays['keypoints2d_smplx']
    )

    ours.decompress()
    read.decompress_keypoints()
    assert_same(content_of(ours), content_of(read))
    assert_same(content_of(ours), arrays)
    with pytest.raises(HumanDataError, match='not compressed'):
        ours.decompress()


def test_masks_are_theirs(theirs, arrays):
    arrays['keypoints3d_smplx'][:, 7, 3] = 0
    ours, read = HumanData(arrays), theirs.HumanData(arrays)
    ours.generate_masks()
    read.generate_mask_from_confidence()
    assert_same(content_of(ours), content_of(read))
    assert ours['keypoints3d_smplx_mask'][7] == 0


def test_their_slices_of_ours(theirs, arrays, tmp_path):
    ours = HumanData(arrays)
    ours.set_frame_range()
    ours.dump(tmp_path / 'ours.npz')
    read = theirs.MultiHumanData.fromfile(str(tmp_path / 'ours.npz'))
    second = read.get_slice(1, 2)
    np.testing.assert_array_equal(second['bbox_xywh'], ours['bbox_xywh'][2:3])


# -- what their converters and their readers do -------------------------------


@pytest.mark.parametrize('compressed', [False, True])
def test_their_ubody(theirs, arrays, tmp_path, compressed):
    """Poses of eyes are declared and left empty; paths begin with images/.

    Keypoints have four columns, and a mask of rows and joints.
    """
    count = len(arrays['image_path'])
    written = theirs.HumanData(arrays)
    smplx = {**arrays['smplx'], 'leye_pose': np.zeros((0, 3))}
    smplx['reye_pose'] = np.zeros((0, 3))
    written['smplx'] = smplx
    written['image_path'] = [
        f'images/Speech/Speech_S1_Trim1/{n:06d}.png' for n in range(count)
    ]
    visibility = np.linspace(0, 2, count * 190).reshape(count, 190, 1)
    written['keypoints2d_ubody'] = np.concatenate(
        (
            arrays['keypoints2d_smplx'][..., :2],
            visibility,
            np.ones((count, 190, 1)),
        ),
        axis=2,
    )
    written['keypoints2d_ubody_mask'] = arrays['keypoints2d_smplx_mask']
    written['meta'] = {
        **arrays['meta'],
        'iscrowd': [0] * count,
        'num_keypoints': [17] * count,
        'valid_label': [2] * count,
        'lefthand_valid': [True] * count,
        'righthand_valid': [True] * count,
        'face_valid': [True] * count,
    }
    written['keypoints2d_smplx_trunc_mask'] = np.ones((count, 190, 1))
    if compressed:
        written.compress_keypoints_by_mask()
    path = tmp_path / 'ubody_train_intra_multi.npz'
    written.dump(str(path))

    with pytest.warns(
        UserWarning, match='dropped 2 entries that do not have 6 rows'
    ) as w:
        dataset = UBodyDataset(
            path.name,
            str(tmp_path),
            {'img': 'datasets/UBody'},
            filter_cfg={'missing_images': 'ignore'},
            sample_interval=1,
        )
    assert len(w) == 1
    assert 'smplx.leye_pose (0), smplx.reye_pose (0)' in str(w[0].message)
    assert len(dataset) == count
    info = dataset.get_data_info(0)
    assert info['img_path'] == str(
        tmp_path / 'datasets/UBody' / written['image_path'][0]
    )
    persons = info['instances_arrays']
    assert persons['smplx_pose_valid'].all()
    assert set(np.unique(persons['keypoints_visible'])) == {0, 1}


@pytest.mark.parametrize('compressed', [False, True])
def test_without_confidence(theirs, arrays, tmp_path, compressed):
    """SMPLer-X and SMPLest-X read such files, with a confidence of 1."""
    written = theirs.HumanData(arrays)
    for key, axes in (('keypoints2d_smplx', 2), ('keypoints3d_smplx', 3)):
        written[key] = arrays[key][..., :axes]
    if compressed:
        written.compress_keypoints_by_mask()
    written.dump(str(tmp_path / 'theirs.npz'))
    ours = HumanData.load(tmp_path / 'theirs.npz')
    for key in ('keypoints2d_smplx', 'keypoints3d_smplx'):
        np.testing.assert_array_equal(ours[key], arrays[key])
        assert ours[key].dtype == np.float32


@pytest.mark.parametrize('compressed', [False, True])
def test_mask_of_rows_and_joints(arrays, tmp_path, compressed):
    """SMPLer-X's ``keypoints2d_smplx_trunc`` has one; it stays as it is."""
    count = len(arrays['image_path'])
    trunc = np.ones((count, 190, 1), np.float32)
    inside = np.arange(count * 190).reshape(count, 190, 1) % 3 > 0
    content = {
        **arrays,
        'keypoints2d_smplx_trunc': trunc,
        'keypoints2d_smplx_trunc_mask': inside.astype(np.uint8),
        '__keypoints_compressed__': compressed,
    }
    if compressed:
        for key in ('keypoints2d_smplx', 'keypoints3d_smplx'):
            content[key] = content[key][:, :144]
    np.savez(tmp_path / 'theirs.npz', **content)
    ours = HumanData.load(tmp_path / 'theirs.npz')
    if not compressed:
        ours.generate_masks()
        ours.compress()
    ours.dump(tmp_path / 'ours.npz')
    again = HumanData.load(tmp_path / 'ours.npz')
    for key in ('keypoints2d_smplx_trunc', 'keypoints2d_smplx_trunc_mask'):
        np.testing.assert_array_equal(again[key], content[key])
    half = select_rows(again, np.arange(0, count, 2))
    key = 'keypoints2d_smplx_trunc_mask'
    np.testing.assert_array_equal(half[key], content[key][::2])


@pytest.mark.parametrize('name', ['coco', 'ubody', 'bedlam', 'egobody'])
def test_they_read_our_conversions(theirs, converted, name):
    """And find hips, confidences, hands and boxes where they look."""
    path = converted(name)[2]
    ours = HumanData.load(path)
    read = theirs.MultiHumanData.fromfile(str(path))
    assert_same(content_of(read), content_of(ours))
    read.decompress_keypoints()
    count = len(ours)
    for key in (k for k in ours if k.startswith('keypoints')):
        if key.endswith(('_mask', '_convention')):
            continue
        assert read[key].shape == (count, 190, 3 + ('3d' in key))
        assert read[f'{key}_mask'].shape == (190,)
        assert np.isin(read[key][..., -1], (0, 1)).all()
        assert read[key][:, 1:3, -1].any(), f'{key}: no hips'
    for part in ('', 'lhand_', 'rhand_', 'face_'):
        assert read[f'{part}bbox_xywh'].shape == (count, 5)
    flat = name == 'bedlam'
    assert read['misc']['flat_hand_mean'] is flat
    for value in read['smplx'].values():
        assert len(value) == count
    # Where SMPLer-X looks for it.
    said = read['smplx'].get('flat_hand_mean', np.zeros(count, bool))
    assert said.tolist() == [flat] * count
