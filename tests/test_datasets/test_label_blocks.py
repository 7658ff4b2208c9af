# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Labels are made block by block: the same labels, in little memory."""

from __future__ import annotations

import pickle
import tracemalloc

import numpy as np
import pytest

from aios.datasets import HumanData, HumanDataError, HumanDataset
from aios.datasets.label_blocks import label_blocks
from aios.datasets.label_options import LabelOptions
from aios.utils.npz_rows import NpzRows
from aios.utils.safe_io import CorruptFileError, load_pickle, save_npz

MEGA = 1 << 20


def scatter(content):
    """Rows of the images in turns."""
    order = np.array([0, 3, 2, 1, 4, 5])
    paths = content['image_path']
    content['image_path'] = [paths[row] for row in order]


def drop(content):
    content['keypoints2d_smplx'][0, 3] = np.nan
    content['bbox_xywh'][2, 2] = 0
    content['bbox_xywh'][4, 0] = np.nan
    content['keypoints3d_smplx'][5, 3] = np.inf


def crowd(content):
    content['meta']['iscrowd'] = [0, 1, 1, 0, 1, 0]


def same_boxes(content):
    scatter(content)
    content['bbox_xywh'][:] = content['bbox_xywh'][0]


def cameras(content):
    content['meta']['focal_length'][4] += 7


def empty(content):
    content['misc']['empty_images'] = {
        'image_path': ['images/a_long_name_of_an_image.png', 'b.png'],
        'height': [3, 4],
        'width': [5, 6],
    }


@pytest.mark.parametrize(
    ('change', 'options'),
    [
        (None, {}),
        (None, {'sample_interval': 2}),
        (scatter, {}),
        (scatter, {'group_by_image': False}),
        (drop, {}),
        (drop, {'sample_interval': 2}),
        (crowd, {'drop_rules': ('crowd',), 'ignore_crowds': True}),
        (same_boxes, {'drop_rules': ('duplicate',), 'group_by_image': False}),
        (cameras, {}),
        (empty, {}),
    ],
)
@pytest.mark.parametrize('compress', [False, True])
def test_blocks_make_the_same_labels(toy, arrays, change, options, compress):
    if change is not None:
        change(arrays)
    path = toy(compress=compress).ann_file
    options = LabelOptions(**options)
    whole = list(label_blocks(HumanData.load(path), options))
    columns = joined(whole)
    blocks = list(label_blocks(HumanData.load(path, stream=True), options, 2))
    assert len(blocks) > 1
    assert blocks[-1].info == whole[-1].info
    assert blocks[0].columns.keys() == columns.keys()
    for name, column in joined(blocks).items():
        np.testing.assert_array_equal(columns[name], column, name)


def joined(blocks):
    """Columns of all blocks, each of one dtype."""
    columns = {}
    for name in blocks[0].columns:
        parts = [b.columns[name] for b in blocks if name in b.columns]
        assert len({part.dtype for part in parts}) == 1
        columns[name] = np.concatenate(parts)
    return columns


def many(tmp_path, count=8000):
    """A file of 42 MB of keypoints, of zeros but for a box."""
    content = {
        'image_path': [f'{row // 4}.jpg' for row in range(count)],
        'bbox_xywh': np.tile(np.float32([1, 2, 30, 40, 1]), (count, 1)),
        'keypoints2d_smplx': np.zeros((count, 190, 3), np.float32),
        'keypoints3d_smplx': np.zeros((count, 190, 4), np.float32),
        'keypoints3d_original': np.zeros((count, 190, 4), np.float32),
        'meta': {'height': [99] * count, 'width': [99] * count},
    }
    HumanData(content).dump(tmp_path / 'many.npz')
    return tmp_path / 'many.npz'


@pytest.mark.parametrize('interval', [1, 100])
def test_memory_is_that_of_a_block(tmp_path, interval):
    path = many(tmp_path)
    options = LabelOptions(sample_interval=interval)
    tracemalloc.start()
    data = HumanData.load(path, stream=True)
    rows = sum(
        len(block.columns.get('row', ()))
        for block in label_blocks(data, options, 128)
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert rows == 8000 / interval
    assert peak < 12 * MEGA


def test_pickled_data_set_is_small(tmp_path):
    """It holds no list of images; labels are those of one mapped file."""
    dataset = HumanDataset(
        many(tmp_path).name,
        str(tmp_path),
        filter_cfg={'missing_images': 'ignore'},
    )
    assert len(dataset) == 2000
    assert len(pickle.dumps(dataset)) < 10_000
    again = pickle.loads(pickle.dumps(dataset))
    assert again.get_data_info(-1)['img_path'] == f'{tmp_path}/1999.jpg'
    mine, other = (d.labels['keypoints'] for d in (dataset, again))
    assert isinstance(other, np.memmap)
    assert other.filename == mine.filename
    assert len(dataset.get_subset(7)) == 7
    assert dataset.get_subset([5, 3]).get_data_info(1)['img_id'] == 3


def test_arrays_of_a_pickle_are_held_once(tmp_path):
    content = {str(i): np.full(MEGA // 4, i, np.float64) for i in range(16)}
    with open(tmp_path / 'x.pkl', 'wb') as file:
        pickle.dump(content, file, protocol=4)
    tracemalloc.start()
    read = load_pickle(tmp_path / 'x.pkl')
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert read['3'][5] == 3
    assert peak < 1.5 * 32 * MEGA


# -- rows of an array --------------------------------------------------------


@pytest.fixture
def array(tmp_path):
    """An array of 3 MB that does not compress, in a file."""
    content = np.random.default_rng(0).random((1000, 100, 4)) * 9
    save_npz(tmp_path / 'x.npz', {'a': content, 'b': content[:2]})
    return content


@pytest.mark.parametrize(
    'requests',
    [
        [slice(None)],
        [np.arange(10), np.arange(10, 500, 7), np.array([999])],
        [np.array([5, 5, 6]), np.array([], int), np.array([6, 7])],
        [np.array([3, 1, 2]), np.array([999, 0]), np.arange(400, 600)],
        [np.arange(900, 1000), np.arange(100)],
    ],
)
def test_rows_in_any_order(array, tmp_path, requests):
    rows = NpzRows(tmp_path / 'x.npz', 'a')
    assert rows.readable()
    assert (rows.shape, rows.dtype, rows.ndim) == ((1000, 100, 4), 'f8', 3)
    for request in requests:
        np.testing.assert_array_equal(rows[request], array[request])
    np.testing.assert_array_equal(np.asarray(rows), array)
    rows.close()


@pytest.mark.parametrize('order', [np.arange(1000), np.arange(1000)[::-1]])
def test_damaged_rows(array, tmp_path, order):
    data = bytearray((tmp_path / 'x.npz').read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / 'x.npz').write_bytes(data)
    rows = NpzRows(tmp_path / 'x.npz', 'a')
    with pytest.raises(CorruptFileError, match=r'x.npz\[a\]: damaged'):
        rows[order]


def test_damaged_key_points_leave_no_labels(toy, arrays, tmp_path):
    noise = np.random.default_rng(0).random((6, 190, 3))
    arrays['keypoints2d_smplx'] = noise.astype(np.float32)
    files = toy()
    data = bytearray((tmp_path / 'humandata.npz').read_bytes())
    place = data.index(b'keypoints2d_smplx.npy') + 3000
    data[place] ^= 0xFF
    (tmp_path / 'humandata.npz').write_bytes(data)
    with pytest.raises(HumanDataError, match='keypoints2d_smplx'):
        files.open()
    assert not list((tmp_path / '.aios_cache').glob('*.labels'))
