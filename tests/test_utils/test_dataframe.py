# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Data frames are read without pandas, and without running code."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hostile_pickles import Call, call, name, number, program

from aios.utils.dataframe import load_dataframe
from aios.utils.safe_io import CorruptFileError, UnsafeFileError

COLUMNS = {
    'imgPath': ['a.png', 'b.png'],
    'camX': [1.5, 2.5],
    'count': [2, 1],
    'isValid': [[True, False], [True]],
    'joints': [[np.ones((3, 2)), np.zeros((3, 2))], [np.ones((3, 2))]],
}


DATA = Path(__file__).parents[1] / 'data/dataframes'


def assert_is_read(path):
    read = load_dataframe(path)
    assert list(read) == list(COLUMNS)
    assert read['imgPath'].tolist() == ['a.png', 'b.png']
    assert read['camX'].tolist() == [1.5, 2.5]
    assert read['count'].tolist() == [2, 1]
    assert read['isValid'][0] == [True, False]
    np.testing.assert_array_equal(read['joints'][0][0], np.ones((3, 2)))


@pytest.mark.parametrize('version', ['1.5.3', '2.3.3', '3.1.1'])
def test_files_of_pandas(version):
    """``DataFrame(COLUMNS).to_pickle`` of real versions wrote them."""
    assert_is_read(DATA / f'pandas-{version}.pkl')


def test_strings_of_pyarrow():
    """What pandas 3 writes if pyarrow is installed."""
    with pytest.raises(
        UnsafeFileError, match=r'pyarrow format; .*astype\(object\)'
    ):
        load_dataframe(DATA / 'pandas-3.1.1-pyarrow.pkl')


def test_arrays_of_pandas_that_are_not_of_strings(tmp_path):
    body = call(
        name('pandas._libs.arrays', '__pyx_unpickle_NDArrayBacked'),
        name('pandas', 'RangeIndex'),
        number(0),
        number(0),
    )
    path = tmp_path / 'other.pkl'
    path.write_bytes(program(body))
    with pytest.raises(UnsafeFileError, match='not contain strings'):
        load_dataframe(path)


def test_what_pandas_writes(tmp_path):
    """The version that is installed; some machines have none."""
    pandas = pytest.importorskip('pandas')
    frame = pandas.DataFrame(COLUMNS)
    if getattr(frame.dtypes['imgPath'], 'storage', '') == 'pyarrow':
        pytest.skip('strings of pyarrow are refused')
    for protocol in (2, 4, 5):
        path = tmp_path / f'{protocol}.pkl'
        frame.to_pickle(path, protocol=protocol)
        assert_is_read(path)


def test_no_code_runs(tmp_path):
    path = tmp_path / 'evil.pkl'
    path.write_bytes(pickle.dumps(Call(os.system, f'touch {tmp_path}/ran')))
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
