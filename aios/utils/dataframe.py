# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Read pickled pandas data frames as columns, without pandas.

AGORA's cameras and persons are pickled data frames.  ``pandas.read_pickle``
executes code from the file, and often fails on files of other pandas versions.
Here a frame is parsed with the allow-list of :mod:`aios.utils.safe_pickle`:
blocks of NumPy arrays and the names of the columns, nothing else.  Frames
written by pandas 0.25 to 3.1 are supported; columns of pandas' other array
types (dates, categories) are rejected, and so are strings of pandas 3 that are
stored by pyarrow.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from .pickle_records import Builder, Record
from .safe_pickle import CorruptFileError, UnsafeFileError, read_pickle


def _count_up(
    start: int | None, stop: int, step: int | None, convert: Builder
) -> np.ndarray:
    numbers = range(start or 0, stop, step or 1)
    convert.spend(8 * len(numbers))
    return np.arange(numbers.start, stop, numbers.step)


class _Slice(Record):
    """``builtins.slice``: column indices of a block."""

    def build(self, convert: Builder) -> np.ndarray:
        start, stop, step = (*self.args, None, None, None)[:3]
        return _count_up(start, stop, step, convert)


class _IndexClass(Record):
    """A class of pandas' indices; named, never called."""


class _Index(Record):
    """``pandas.core.indexes.base._new_Index``: labels of an axis."""

    def build(self, convert: Builder) -> np.ndarray:
        state = convert(self.args[1])
        if 'stop' in state:
            return _count_up(
                state.get('start'), state['stop'], state.get('step'), convert
            )
        return np.asarray(state['data'])


class _Block(Record):
    """``pandas._libs.internals._unpickle_block``: columns of one type."""

    def build(self, convert: Builder) -> tuple[np.ndarray, np.ndarray]:
        values, columns = convert(self.args[0]), convert(self.args[1])
        return np.asarray(values), np.asarray(columns)


class _StringArray(Record):
    """``pandas.arrays.StringArray``: strings of pandas 3 without pyarrow."""

    def build(self, convert: Builder) -> np.ndarray:
        _, values = convert(self.state)
        return np.asarray(values)


class _StringDtype(Record):
    """``pandas.StringDtype``: storage type of strings."""

    def build(self, convert: Builder) -> None:
        return None


class _NewArray(Record):
    """``__pyx_unpickle_NDArrayBacked``: an array before its state."""

    def __new__(cls, kind: Any, *_: Any) -> Any:
        if kind is not _StringArray:
            raise UnsafeFileError('pandas array that does not contain strings')
        return _StringArray()


class _ArrowStrings(Record):
    """``pandas.arrays.ArrowStringArray``: strings of pandas 3."""

    def __new__(cls, *_: Any) -> Any:
        raise UnsafeFileError(
            'it has pandas 3 strings in pyarrow format; write it again after '
            '`frame = frame.astype(object)` and `frame.columns = '
            'frame.columns.astype(object)`'
        )


class _Manager(Record):
    """``BlockManager``, old (a state) or new (arguments)."""

    def build(self, convert: Builder) -> dict[str, Any]:
        if len(self.args) >= 2:
            blocks, axes = convert(self.args[0]), convert(self.args[1])
        else:
            state = convert(self.state)[3]['0.14.1']
            axes = state['axes']
            blocks = [(b['values'], b['mgr_locs']) for b in state['blocks']]
        columns: dict[str, Any] = {}
        for values, indices in blocks:
            if not isinstance(values, np.ndarray) or values.ndim > 2:
                raise ValueError('a block that is not a 2-D array')
            # Strings of pandas 3 are 1-D arrays of one column.
            rows = np.atleast_2d(values)
            for row, column in enumerate(np.asarray(indices).tolist()):
                columns[str(axes[0][column])] = rows[row]
        return {str(name): columns[str(name)] for name in axes[0]}


class _Frame(Record):
    """``pandas.core.frame.DataFrame``."""

    def build(self, convert: Builder) -> dict[str, Any]:
        state = convert(self.state)
        return state['_mgr'] if '_mgr' in state else state['_data']


_RECORDS = {
    ('pandas.core.frame', 'DataFrame'): _Frame,
    ('pandas', 'DataFrame'): _Frame,
    ('pandas.core.internals.managers', 'BlockManager'): _Manager,
    ('pandas.core.internals', 'BlockManager'): _Manager,
    ('pandas._libs.internals', 'BlockManager'): _Manager,
    ('pandas._libs.internals', '_unpickle_block'): _Block,
    ('pandas.core.internals.blocks', 'new_block'): _Block,
    ('pandas._libs.arrays', '__pyx_unpickle_NDArrayBacked'): _NewArray,
    ('pandas.arrays', 'StringArray'): _StringArray,
    ('pandas.arrays', 'ArrowStringArray'): _ArrowStrings,
    ('pandas', 'StringDtype'): _StringDtype,
    ('pandas.core.indexes.base', '_new_Index'): _Index,
    ('pandas.core.indexes.base', 'Index'): _IndexClass,
    ('pandas', 'Index'): _IndexClass,
    ('pandas', 'RangeIndex'): _IndexClass,
    ('pandas.core.indexes.range', 'RangeIndex'): _IndexClass,
    ('pandas.core.indexes.numeric', 'Int64Index'): _IndexClass,
    ('builtins', 'slice'): _Slice,
    ('__builtin__', 'slice'): _Slice,
}


def load_dataframe(
    path: str | os.PathLike, columns: Iterable[str] = (), advice: str = ''
) -> dict[str, np.ndarray]:
    """Read a pickled data frame.

    Args:
        path: A ``.pkl`` written by ``DataFrame.to_pickle`` or ``pickle``.
        columns: Required columns.
        advice: Advice in the error if one is missing.

    Returns:
        Columns by name; all have one entry per row.

    Raises:
        FileNotFoundError: There is no such file.
        UnsafeFileError: The file contains more than a plain frame.
        CorruptFileError: The file is truncated or not a pickle, or lacks a
            column.
    """
    with open(path, 'rb') as stream:
        frame = read_pickle(stream, str(path), records=_RECORDS)
    if not isinstance(frame, dict) or not all(
        isinstance(column, np.ndarray) for column in frame.values()
    ):
        found = type(frame).__name__
        raise UnsafeFileError(f'{path}: must be a data frame, got a {found}')
    lacking = sorted(set(columns) - set(frame))
    if lacking:
        raise CorruptFileError(
            f'{path}: lacks the columns {lacking}; {advice}'
        )
    return frame
