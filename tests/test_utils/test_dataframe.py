# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Data frames are read without pandas, and without running code."""

from __future__ import annotations

import os
import pickle

import numpy as np
import pytest

from aios.utils.dataframe import load_dataframe
from aios.utils.safe_io import CorruptFileError, UnsafeFileError

COLUMNS = {
    'imgPath': ['a.png', 'b.png'],
    'camX': [1.5, 2.5],
    'count': [2, 1],
    'isValid': [[True, False], [True]],
    'joints': [[np.ones((3, 2)), np.zeros((3, 2))], [np.ones((3, 2))]],
}


def test_what_pandas_writes(tmp_path):
    pandas = pytest.importorskip('pandas')
    if int(pandas.__version__.split('.')[0]) > 2:
        pytest.skip('strings of pandas 3 are Arrow arrays')
    frame = pandas.DataFrame(COLUMNS)
    for protocol in (2, 4, 5):
        path = tmp_path / f'{protocol}.pkl'
        frame.to_pickle(path, protocol=protocol)
        read = load_dataframe(path)
        assert list(read) == list(COLUMNS)
        assert read['imgPath'].tolist() == ['a.png', 'b.png']
        assert read['camX'].tolist() == [1.5, 2.5]
        assert read['count'].tolist() == [2, 1]
        assert read['isValid'][0] == [True, False]
        np.testing.assert_array_equal(read['joints'][0][0], np.ones((3, 2)))


def test_no_code_runs(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.system, (f'touch {tmp_path}/ran',)

    path = tmp_path / 'evil.pkl'
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UnsafeFileError, match='system'):
        load_dataframe(path)
    assert not (tmp_path / 'ran').exists()


@pytest.mark.parametrize('content', [{'a': 1}, [1, 2], 'text'])
def test_something_else(tmp_path, content):
    path = tmp_path / 'other.pkl'
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(UnsafeFileError, match='data frame'):
        load_dataframe(path)


def test_truncated(tmp_path):
    path = tmp_path / 'cut.pkl'
    path.write_bytes(pickle.dumps(list(range(1000)))[:100])
    with pytest.raises(CorruptFileError):
        load_dataframe(path)
