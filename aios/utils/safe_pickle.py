# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""An unpickler that can only build data.

A pickle is a program: loading one with :func:`pickle.load` runs whatever its
author wrote. Body models and annotation files of this field are pickles, so
they are read here with an allow-list instead. Names outside the list are
refused before anything is called, and the names *on* the list never resolve
to the real NumPy, SciPy or chumpy object: they resolve to inert records
(:class:`_Record`) which only keep what the file says. The arrays are built
from the records afterwards, by code that checks sizes and dtypes. Hence
neither chumpy nor SciPy has to be importable to read a file that holds no
sparse matrix, and NumPy's own ``__setstate__`` (which trusts its input) is
never handed data from a file.
"""

from __future__ import annotations

import math
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NoReturn

import numpy as np

__all__ = [
    'ALLOWED_CONTENT',
    'CorruptFileError',
    'UnsafeFileError',
    'read_pickle',
]

ALLOWED_CONTENT = (
    'dict, OrderedDict, list, tuple, set, str, bytes, numbers, None, NumPy '
    'arrays and scalars (bool, integer, float, complex, text and object '
    'arrays), SciPy csc/csr matrices, chumpy arrays'
)
"""What a pickle may hold, in words (used in error messages)."""

# bool, integers, floats, complex, bytes, text, object; no void, no dates
_DTYPE_SPEC = re.compile(
    r'^[<>=|]?([?bBhHiIlLqQefdgFDGO]|[biufc]\d{1,2}'
    r'|O[48]|[SaU]\d{1,9})$'
)

Convert = Callable[[Any], Any]


class UnsafeFileError(ValueError):
    """A file asks for something that is not plain data."""


class CorruptFileError(ValueError):
    """A file is truncated, damaged or not of the format it claims."""


class _FrozenType(type):
    """Classes that a pickle can call but not change.

    The ``BUILD`` opcode sets attributes on any object of the stack, classes
    included.
    """

    def __setattr__(cls, name: str, value: object) -> NoReturn:
        raise UnsafeFileError(f'a pickle tries to change {cls.__name__}')


class _Record(metaclass=_FrozenType):
    """What a pickle says about one object: call arguments and state."""

    __slots__ = ('args', 'state')
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> Any:
        record = object.__new__(cls)
        record.args = args
        record.state = None
        return record

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def build(self, convert: Convert) -> Any:
        """Return the real value; ``convert`` builds nested records."""
        raise ValueError(f'unfinished {type(self).__name__[1:]} object')


class _Object(_Record):
    """``builtins.object``, the base that protocols 0 and 1 name."""


class _Dtype(_Record):
    """``numpy.dtype``: ``args`` (spec, align, copy), ``state`` (.., order)."""

    def build(self, convert: Convert) -> np.dtype:
        spec = self.args[0] if self.args else None
        if not isinstance(spec, str) or not _DTYPE_SPEC.match(spec):
            raise UnsafeFileError(f'dtype {spec!r} is not allowed')
        if spec.lstrip('<>=|').startswith('O'):
            return np.dtype(object)
        dtype = np.dtype(spec)
        if self.state is None:
            return dtype
        order, subdtype, names, fields = self.state[1:5]
        if (subdtype, names, fields) != (None, None, None):
            raise UnsafeFileError('structured dtypes are not allowed')
        return dtype.newbyteorder(order)


def _build_dtype(record: Any, convert: Convert) -> np.dtype:
    if not isinstance(record, _Dtype):
        raise ValueError('array without a dtype')
    return record.build(convert)


def _array_from_buffer(
    data: Any, dtype: np.dtype, shape: Any, order: Any
) -> np.ndarray:
    """Array of ``shape`` over a copy of ``data``, sizes checked."""
    if isinstance(data, str):  # bytes of Python 2, read as latin1
        data = data.encode('latin1')
    if dtype.hasobject or not isinstance(data, (bytes, bytearray)):
        raise UnsafeFileError('object array stored as raw memory')
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError(
            f'array of shape {tuple(shape)} and dtype {dtype} holds '
            f'{len(data)} bytes'
        )
    if not data:
        return np.zeros(shape, dtype)
    return np.frombuffer(data, dtype).reshape(shape, order=order).copy('K')


class _Array(_Record):
    """``numpy.ndarray``; ``state`` = (_, shape, dtype, fortran, data)."""

    def build(self, convert: Convert) -> np.ndarray:
        if not isinstance(self.state, tuple) or len(self.state) != 5:
            raise ValueError('array without content')
        _, shape, dtype_record, fortran, data = self.state
        dtype = _build_dtype(dtype_record, convert)
        order: Any = 'F' if fortran else 'C'
        if dtype.kind != 'O':
            return _array_from_buffer(data, dtype, shape, order)
        if not isinstance(data, list) or len(data) != math.prod(shape):
            raise ValueError('object array whose items do not fit its shape')
        flat = np.empty(len(data), dtype=object)
        for i, item in enumerate(data):
            flat[i] = convert(item)
        return flat.reshape(shape, order=order)


class _Reconstruct(_Record):
    """``numpy._core.multiarray._reconstruct``: an array before its state."""

    def __new__(cls, subtype: Any, *_: Any) -> Any:
        if subtype is not _Array:
            raise UnsafeFileError('a subclass of numpy.ndarray')
        return _Array()


class _FromBuffer(_Record):
    """``numpy._core.numeric._frombuffer`` (pickle protocol 5)."""

    def build(self, convert: Convert) -> np.ndarray:
        data, dtype, shape, order = self.args
        return _array_from_buffer(
            data, _build_dtype(dtype, convert), shape, order
        )


class _Scalar(_Record):
    """``numpy._core.multiarray.scalar``: ``args`` = (dtype, bytes)."""

    def build(self, convert: Convert) -> Any:
        dtype, data = self.args
        dtype = _build_dtype(dtype, convert)
        return _array_from_buffer(data, dtype, (), 'C')[()]


class _Sparse(_Record):
    """A compressed SciPy matrix; ``state`` is its ``__dict__``."""

    format = 'csc'

    def build(self, convert: Convert) -> Any:
        from scipy import sparse

        state = convert(self.state)
        shape = tuple(int(n) for n in state.get('_shape', state.get('shape')))
        matrix = getattr(sparse, f'{self.format}_matrix')(
            (state['data'], state['indices'], state['indptr']), shape=shape
        )
        matrix.check_format(full_check=True)
        return matrix


class _SparseRows(_Sparse):
    format = 'csr'


class _Ch(_Record):
    """``chumpy.ch.Ch``: an array with a graph around it; only ``x`` counts."""

    def build(self, convert: Convert) -> np.ndarray:
        return np.asarray(convert(self.state['x']))


class _ChSelect(_Record):
    """``chumpy.reordering.Select``: ``a.ravel()[idxs]``, reshaped."""

    def build(self, convert: Convert) -> np.ndarray:
        source = np.asarray(convert(self.state['a']))
        picked = source.ravel()[np.asarray(convert(self.state['idxs']))]
        shape = self.state.get('preferred_shape')
        return picked if shape is None else picked.reshape(convert(shape))


class _NewObject(_Record):
    """``copyreg._reconstructor`` (protocols 0 and 1)."""

    def __new__(cls, kind: Any, base: Any = _Object, state: Any = None) -> Any:
        if not isinstance(kind, _FrozenType) or base is not _Object or state:
            raise UnsafeFileError('copyreg._reconstructor of a foreign class')
        return kind()


class _Encode(_Record):
    """``_codecs.encode``: bytes written by protocols 0 to 2."""

    def __new__(cls, text: str, encoding: str = 'latin1') -> Any:
        if encoding not in ('latin1', 'latin-1'):
            raise UnsafeFileError(f'codec {encoding!r}')
        return text.encode('latin1')


class _EmptyBytes(_Record):
    """``builtins.bytes()``; with an argument it could ask for any size."""

    def __new__(cls) -> Any:
        return b''


def _allow_list() -> dict[tuple[str, str], Any]:
    allowed: dict[tuple[str, str], Any] = {
        ('collections', 'OrderedDict'): OrderedDict,
        ('_codecs', 'encode'): _Encode,
        ('numpy', 'ndarray'): _Array,
        ('numpy', 'dtype'): _Dtype,
        ('chumpy.ch', 'Ch'): _Ch,
        ('chumpy.reordering', 'Select'): _ChSelect,
    }
    for builtins in ('builtins', '__builtin__'):  # Python 3 and Python 2
        allowed[builtins, 'set'] = set
        allowed[builtins, 'frozenset'] = frozenset
        allowed[builtins, 'complex'] = complex
        allowed[builtins, 'bytes'] = _EmptyBytes
        allowed[builtins, 'object'] = _Object
    for module in ('copyreg', 'copy_reg'):
        allowed[module, '_reconstructor'] = _NewObject
    for core in ('numpy.core', 'numpy._core'):  # NumPy 1 and NumPy 2
        allowed[f'{core}.multiarray', '_reconstruct'] = _Reconstruct
        allowed[f'{core}.multiarray', 'scalar'] = _Scalar
        allowed[f'{core}.numeric', '_frombuffer'] = _FromBuffer
    for kind, record in (('csc', _Sparse), ('csr', _SparseRows)):
        for module in (kind, f'_{kind}'):  # before and after SciPy 1.8
            for suffix in ('matrix', 'array'):
                name = (f'scipy.sparse.{module}', f'{kind}_{suffix}')
                allowed[name] = record
    return allowed


_ALLOWED = _allow_list()


class _RestrictedUnpickler(pickle._Unpickler):
    # NOTE: The implementation in Python, not the one in C: nine bytes can
    # make the latter fill tens of GB (a memo index, LONG_BINPUT). It takes
    # about 2 s per million strings; arrays cost the same.
    allowed: Mapping[tuple[str, str], Any] = _ALLOWED

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self.allowed[module, name]
        except KeyError:
            raise UnsafeFileError(
                f'it asks for the global {module}.{name}, which is not on '
                'the allow-list'
            ) from None


class _Builder:
    """Turns records inside nested containers into values.

    Shared objects stay shared, so a file cannot blow up by referring to one
    list many times.
    """

    def __init__(self) -> None:
        self._done: dict[int, Any] = {}

    def __call__(self, raw: Any) -> Any:
        kind = type(raw)
        if kind in (str, int, float, bool, bytes, complex, type(None)):
            return raw
        if id(raw) not in self._done:
            self._done[id(raw)] = self._build(raw, kind)
        return self._done[id(raw)]

    def _build(self, raw: Any, kind: type) -> Any:
        if isinstance(raw, _Record):
            return raw.build(self)
        if kind in (dict, OrderedDict):
            mapping = self._done[id(raw)] = kind()
            for key, value in raw.items():
                mapping[self(key)] = self(value)
            return mapping
        if kind is list:
            items = self._done[id(raw)] = []
            items.extend(self(item) for item in raw)
            return items
        if kind in (tuple, set, frozenset):
            return kind(self(item) for item in raw)
        if kind is bytearray:
            return raw
        raise UnsafeFileError(f'it holds {raw!r} itself as a value')


def read_pickle(
    stream: BinaryIO,
    source: str,
    encoding: str = 'latin1',
    records: Mapping[tuple[str, str], type[_Record]] | None = None,
) -> Any:
    """Read one pickle from ``stream`` without running code from it.

    Args:
        stream: Binary stream placed at the beginning of the pickle.
        source: Name of the file (and member) for error messages.
        encoding: How to decode ``str`` objects written by Python 2.
        records: Further globals (module, name) and the inert records that
            stand for them.

    Returns:
        The content; chumpy arrays as :class:`numpy.ndarray`, SciPy matrices
        as ``csc_matrix`` / ``csr_matrix``, everything else as it was.

    Raises:
        UnsafeFileError: The pickle names a global outside the allow-list or
            a dtype that could smuggle pointers. Nothing was executed.
        CorruptFileError: The pickle is truncated or malformed.
    """
    try:
        unpickler = _RestrictedUnpickler(stream, encoding=encoding)
        unpickler.allowed = {**_ALLOWED, **(records or {})}
        raw = unpickler.load()
        return _Builder()(raw)
    except UnsafeFileError as error:
        raise UnsafeFileError(
            f'{source}: refused, {error}. Allowed: {ALLOWED_CONTENT}. '
            'Nothing from the file was executed.'
        ) from None
    except Exception as error:  # a hostile pickle can raise anything
        raise CorruptFileError(
            f'{source}: not a readable pickle '
            f'({type(error).__name__}: {error})'
        ) from error
