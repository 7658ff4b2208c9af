# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Read files of ``joblib.dump`` without executing code from them.

They are pickles, optionally compressed as a whole, in which the memory of an
array follows the object that describes it
(https://joblib.readthedocs.io/en/stable/persistence.html).
"""

from __future__ import annotations

import bz2
import io
import lzma
import math
import os
import pickle
import zlib
from typing import Any, ClassVar

import numpy as np

from .pickle_records import CorruptFileError, Dtype, Record, UnsafeFileError
from .safe_pickle import Unpickler, unpickle

_FREE_BYTES = 512 << 20
_MAX_RATIO = 200
_ZLIB, _GZIP = 15, 31  # window sizes, as zlib names the formats


class _ArrayWrapper(Record):
    """``NumpyArrayWrapper``: the header before an array's memory."""


class _JoblibUnpickler(Unpickler):
    """Unpickler that reads the memory of arrays after their headers."""

    dispatch: ClassVar[dict[int, Any]] = dict(Unpickler.dispatch)

    def __init__(self, stream: io.BytesIO) -> None:
        wrapper = ('joblib.numpy_pickle', 'NumpyArrayWrapper')
        super().__init__(stream, records={wrapper: _ArrayWrapper})

    def _build_state(self) -> None:
        Unpickler._build_state(self)
        if isinstance(self.stack[-1], _ArrayWrapper):
            state = self.stack.pop().state
            self.stack.append(self._read_array(state))

    def _read_array(self, state: Any) -> np.ndarray:
        if (
            not isinstance(state, dict)
            or type(state.get('dtype')) is not Dtype
        ):
            raise ValueError('an array without a dtype')
        dtype = state['dtype'].build(None)
        if dtype.hasobject:
            raise UnsafeFileError('an array of Python objects')
        if state.get('numpy_array_alignment_bytes') is not None:
            self.source.read(self.source.read(1)[0])
        shape = tuple(state['shape'])
        data = self.source.read(math.prod(shape) * dtype.itemsize)
        order: Any = 'F' if state['order'] == 'F' else 'C'
        flat = np.frombuffer(data, dtype) if data else np.zeros(0, dtype)
        return flat.reshape(shape, order=order).copy('K')

    dispatch[pickle.BUILD[0]] = _build_state


def load_joblib(path: str | os.PathLike) -> Any:
    """Read a file of ``joblib.dump``, or a plain pickle.

    Args:
        path: The file; compression by zlib, gzip, bz2, lzma and xz is
            detected by its first bytes.

    Returns:
        The content, see :func:`aios.utils.safe_pickle.read_pickle`.

    Raises:
        FileNotFoundError: There is no such file.
        UnsafeFileError: The file contains more than plain data, or unpacks
            to more than 200 times its size.
        CorruptFileError: The file is damaged or no pickle.
    """
    with open(path, 'rb') as stream:
        packed = stream.read()
    try:
        data = _unpacked(packed)
    except UnsafeFileError as error:
        raise UnsafeFileError(f'{path}: {error}') from None
    except (zlib.error, OSError, lzma.LZMAError) as error:
        raise CorruptFileError(f'{path}: damaged ({error})') from error
    unpickler = _JoblibUnpickler(io.BytesIO(data))
    return unpickle(unpickler, str(path), leaves=(np.ndarray,))


def _unpacked(packed: bytes) -> bytes:
    """Decompress a pickle of at most :data:`_MAX_RATIO` times the size."""
    limit = max(_FREE_BYTES, _MAX_RATIO * len(packed))
    unpacker: Any
    if packed[:1] == b'\x78':
        unpacker = zlib.decompressobj(_ZLIB)
    elif packed[:2] == b'\x1f\x8b':
        unpacker = zlib.decompressobj(_GZIP)
    elif packed[:3] == b'BZh':
        unpacker = bz2.BZ2Decompressor()
    elif packed[:6] == b'\xfd7zXZ\0' or packed[:3] == b']\0\0':
        unpacker = lzma.LZMADecompressor()
    else:
        return packed
    data = unpacker.decompress(packed, limit + 1)
    if len(data) > limit:
        raise UnsafeFileError(f'it unpacks to more than {limit:,} bytes')
    return data
