# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Write npz and pickle files for old and new versions of NumPy.

A pickle of NumPy 2 refers to ``numpy._core``, which NumPy 1 does not have.
Files written here refer only to ``numpy.ndarray`` and ``numpy.dtype``, which
all versions have.
:func:`aios.utils.safe_io.load_npz` and :func:`~aios.utils.safe_io.load_pickle`
read them back.
"""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

import numpy as np

from .safe_io import atomic_write

_PROTOCOL = 4
_SCALARS = (bool, int, float, str, bytes, type(None))


def dump_npz(
    path: str | os.PathLike,
    items: Mapping[str, Any],
    *,
    overwrite: bool = False,
    compress: bool = True,
    compresslevel: int | None = None,
) -> None:
    """Write a flat dictionary as ``.npz`` in the layout of ``np.savez``.

    Args:
        path: The file.
        items: Arrays and lists of numbers or strings are stored as arrays,
            scalars and strings as 0-d arrays, dictionaries and everything
            nested as 0-d object arrays.
        overwrite: Whether an existing file may be replaced.
        compress: Deflate the members.
        compresslevel: Compression level, 1 to 9; default 6.

    Raises:
        FileExistsError: If the file exists and ``overwrite`` is false.
        TypeError: If a value is no array, number, string, or list, tuple or
            dictionary of these; the message names it.
    """
    method = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with (
        atomic_write(path, overwrite) as file,
        zipfile.ZipFile(
            file, 'w', method, compresslevel=compresslevel
        ) as archive,
    ):
        for key, value in items.items():
            array = _as_member(key, value)
            with archive.open(f'{key}.npy', 'w', force_zip64=True) as member:
                _write_member(member, array)


def dump_pickle(
    path: str | os.PathLike, value: Any, *, overwrite: bool = False
) -> None:
    """Write plain data (see :func:`dump_npz`) as a pickle.

    Args:
        path: The file.
        value: Dictionaries, lists, tuples, arrays, numbers, strings.
        overwrite: Whether an existing file may be replaced.

    Raises:
        FileExistsError: If the file exists and ``overwrite`` is false.
        TypeError: If ``value`` contains another type.
    """
    plain = _plain('value', value)
    with atomic_write(path, overwrite) as file:
        _PortablePickler(file, _PROTOCOL).dump(plain)


class _PortablePickler(pickle.Pickler):
    """Pickler of arrays without references to private modules of NumPy."""

    def reducer_override(self, obj: Any) -> Any:
        if not isinstance(obj, np.ndarray):
            return NotImplemented
        if obj.dtype.hasobject:
            content: Any = list(obj.ravel())
        else:
            content = obj.tobytes()
        state = (1, obj.shape, obj.dtype, False, content)
        return np.ndarray, ((0,), 'u1'), state


def _plain(where: str, value: Any) -> Any:
    """Copy nested data with builtin scalars and containers."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray):
        if value.dtype.hasobject:
            return _plain(where, value.tolist())
        return np.ascontiguousarray(value).reshape(value.shape)
    if isinstance(value, Mapping):
        return {
            _plain(where, k): _plain(f'{where}.{k}', v)
            for k, v in value.items()
        }
    if isinstance(value, (list, tuple)):
        copies = (_plain(f'{where}[{i}]', v) for i, v in enumerate(value))
        return tuple(copies) if isinstance(value, tuple) else list(copies)
    if isinstance(value, _SCALARS):
        return value
    raise TypeError(
        f'{where}: cannot store a {type(value).__name__}; allowed are '
        'arrays, numbers, strings, lists, tuples and dictionaries'
    )


def _as_member(key: str, value: Any) -> np.ndarray:
    value = _plain(key, value)
    if isinstance(value, (list, tuple)):
        # NumPy would convert [1, 'a'] to strings: keep such lists as objects.
        texts = sum(isinstance(v, str) for v in value)
        with suppress(ValueError):  # ragged
            array = np.asarray(value)
            if not array.dtype.hasobject and texts in (0, len(value)):
                return array
    elif isinstance(value, (np.ndarray, bool, int, float, str)):
        return np.asarray(value)
    boxed = np.empty((), object)
    boxed[()] = value
    return boxed


def _write_member(file: IO, array: np.ndarray) -> None:
    if not array.dtype.hasobject:
        np.lib.format.write_array(file, array, allow_pickle=False)
        return
    header = np.lib.format.header_data_from_array_1_0(array)
    np.lib.format.write_array_header_1_0(file, header)
    _PortablePickler(file, _PROTOCOL).dump(array)
