# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Files that every NumPy version reads."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from aios.utils.portable_pickle import dump_npz, dump_pickle
from aios.utils.safe_io import load_npz, load_pickle

CONTENT = {
    'points': np.arange(6.0).reshape(2, 3),
    'columns': np.asfortranarray(np.arange(6).reshape(2, 3)),
    'big_endian': np.arange(3, dtype='>i4'),
    'empty': np.zeros((0, 4), np.float32),
    'name': 'free',
    'flag': True,
    'names': ['a', 'bc'],
    'ragged': [[1], [1, 2]],
    'mixed': [1, 'a', None],
    'nested': {'x': np.ones(2), 'scalar': np.float32(0.5), 'pair': (1, 'b')},
}


def assert_equal(one, other):
    """Equal content; lists may have become arrays."""
    if isinstance(other, dict):
        assert set(one) == set(other)
        for key in other:
            assert_equal(one[key], other[key])
    elif isinstance(other, np.ndarray):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    else:
        one = one.tolist() if isinstance(one, np.ndarray) else one
        assert one == other


def unboxed(arrays):
    """0-d arrays as the values they hold."""
    return {k: v.item() if v.ndim == 0 else v for k, v in arrays.items()}


@pytest.mark.parametrize('compress', [False, True])
def test_npz(tmp_path, compress):
    path = tmp_path / 'a.npz'
    dump_npz(path, CONTENT, compress=compress)
    assert_equal(unboxed(load_npz(path, allow_objects=True)), CONTENT)
    with np.load(path, allow_pickle=True) as arrays:
        assert_equal(unboxed(arrays), CONTENT)
    assert b'_core' not in path.read_bytes()


def test_pickle(tmp_path):
    path = tmp_path / 'a.pkl'
    dump_pickle(path, CONTENT)
    assert_equal(load_pickle(path), CONTENT)
    with open(path, 'rb') as file:
        content = pickle.load(file)
    content['nested']['x'] += 1  # arrays are writable
    assert b'_core' not in path.read_bytes()
    with pytest.raises(FileExistsError):
        dump_pickle(path, CONTENT)


@pytest.mark.parametrize('dump', [dump_npz, dump_pickle])
def test_only_plain_data(tmp_path, dump):
    with pytest.raises(TypeError, match=r'nested\.list\[1\].*set'):
        dump(tmp_path / 'a', {'nested': {'list': [1, {2}]}})
    assert list(tmp_path.iterdir()) == []
