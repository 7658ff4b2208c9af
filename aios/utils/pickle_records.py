# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Inert records in place of the objects of a pickle.

A record holds the arguments and the state of an object, and has no behavior.
:class:`Builder` converts records to arrays afterwards, within limits: by
repeated references a small file can describe huge content.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from typing import Any, NoReturn

import numpy as np

MAX_DEPTH = 100
"""Largest nesting depth of containers."""

_MAX_KEY_PARTS = 64
_FREE_BYTES = 64 << 20
_FREE_VALUES = 4 << 20
_MAX_SPARSE = 1 << 28  # from SMPL-X to SMPL: 6890 × 20950
_PLAIN = (str, int, float, bool, bytes, complex, type(None))

# bool, integers, floats, complex, bytes, text, object; no void, no dates
_DTYPE_SPEC = re.compile(
    r'^[<>=|]?([?bBhHiIlLqQefdgFDGO]|[biufc]\d{1,2}'
    r'|O[48]|[SaU]\d{1,9})$'
)


class UnsafeFileError(ValueError):
    """A file contains something that is not plain data."""


class CorruptFileError(ValueError):
    """A file is truncated, damaged or not of the format it claims."""


class FrozenType(type):
    """Metaclass of classes that a pickle can call but not change.

    The ``BUILD`` opcode can set attributes of any object, including classes.
    """

    def __setattr__(cls, name: str, value: object) -> NoReturn:
        raise UnsafeFileError(f'a pickle tries to change {cls.__name__}')


class Record(metaclass=FrozenType):
    """Call arguments and state of an object in a pickle."""

    __slots__ = ('args', 'state')
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> Any:
        """Keep the arguments of a call."""
        record = object.__new__(cls)
        record.args = args
        record.state = None
        return record

    def build(self, convert: Builder) -> Any:
        """Return the real value; ``convert`` builds nested records."""
        raise ValueError(f'unfinished {type(self).__name__} object')


class Builder:
    """Convert records inside nested containers to values.

    Shared objects stay shared. The size of arrays and the cost of traversing
    the result are limited in proportion to the file.

    Args:
        num_bytes: Number of bytes read, for the limit of arrays.
        leaves: Further types that need no conversion.
    """

    def __init__(self, num_bytes: int, leaves: tuple[type, ...] = ()) -> None:
        self._done: dict[int, tuple[Any, int]] = {}
        self._bytes_left = 2 * num_bytes + _FREE_BYTES
        self._leaves = leaves
        self._depth = 0
        self._met = 0  # values visited when traversing the result
        self._made = 0  # distinct values among them

    def __call__(self, raw: Any) -> Any:
        """Build one value."""
        self._met += 1
        if type(raw) in _PLAIN or type(raw) in self._leaves:
            self._made += 1
            return raw
        if id(raw) not in self._done:
            return self._build_first(raw)
        value, size = self._done[id(raw)]
        if not size:
            raise UnsafeFileError('a container that contains itself')
        self._met += size
        if self._met > 8 * self._made + _FREE_VALUES:
            raise UnsafeFileError(
                'containers that refer to each other too often to be traversed'
            )
        return value

    def spend(self, num_bytes: int) -> None:
        """Count memory before it is allocated.

        Raises:
            UnsafeFileError: It is out of proportion to the file.
        """
        self._bytes_left -= num_bytes
        if self._bytes_left < 0:
            raise UnsafeFileError(
                f'{num_bytes:,} bytes of arrays, out of proportion to the '
                'file size'
            )

    def _build_first(self, raw: Any) -> Any:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise UnsafeFileError(f'nested deeper than {MAX_DEPTH} levels')
        self._done[id(raw)] = (None, 0)
        before = self._met
        value = self.build(raw)
        is_array = isinstance(value, np.ndarray)
        size = 1 + value.nbytes // 8 if is_array else 1
        self._met += size
        self._made += size
        self._done[id(raw)] = (value, self._met - before)
        self._depth -= 1
        return value

    def build(self, raw: Any) -> Any:
        """Build a value that is neither plain nor built yet."""
        kind = type(raw)
        if isinstance(raw, Record):
            return raw.build(self)
        if kind is dict:
            return dict(self.pairs(raw.items()))
        if kind in (list, tuple, set, frozenset):
            return kind(map(self, raw))
        if kind is bytearray:
            return raw
        raise UnsafeFileError(f'a {kind.__name__} class as a value')

    def pairs(self, items: Any) -> Any:
        """Build keys and values of a dictionary.

        Args:
            items: Pairs of raw keys and values.
        """
        for key, value in items:
            yield check_key(self(key)), self(value)


def check_key(key: Any) -> Any:
    """Return a dictionary key, after checking that its hash is cheap.

    Hashing a tuple visits shared parts repeatedly: 30 nested tuples that refer
    to the next one twice take 2**30 steps.

    Raises:
        UnsafeFileError: The key has too many parts.
    """
    if type(key) in (tuple, frozenset):
        parts, count = [key], 0
        while parts:
            part = parts.pop()
            if type(part) in (tuple, frozenset):
                count += 1 + len(part)
                parts += part if count <= _MAX_KEY_PARTS else ()
        if count > _MAX_KEY_PARTS:
            raise UnsafeFileError(f'a key of more than {_MAX_KEY_PARTS} parts')
    elif type(key) is int and key.bit_length() > 64:
        raise UnsafeFileError('a key that is an integer of over 64 bits')
    return key


class BaseObject(Record):
    """``builtins.object``, the base class in protocols 0 and 1."""


class NewObject(Record):
    """``copyreg._reconstructor`` (protocols 0 and 1)."""

    def __new__(
        cls, kind: Any, base: Any = BaseObject, state: Any = None
    ) -> Any:
        """Make an instance of a stand-in."""
        if not isinstance(kind, FrozenType) or base is not BaseObject or state:
            raise UnsafeFileError('copyreg._reconstructor of another class')
        return kind()


class EmptyBytes(Record):
    """``builtins.bytes()``; an argument could request any size."""

    def __new__(cls) -> Any:
        """Return no bytes."""
        return b''


class Set(Record):
    """``builtins.set`` called with a list (protocols 0 to 3)."""

    kind: type = set

    def build(self, convert: Builder) -> Any:
        """See :meth:`Record.build`."""
        items = convert(self.args[0]) if self.args else ()
        convert.spend(64 * len(items))
        return self.kind(map(check_key, items))


class FrozenSet(Set):
    """``builtins.frozenset``."""

    kind = frozenset


class Mapping(Record):
    """``collections.OrderedDict``, or another subclass of ``dict``."""

    __slots__ = ('items',)
    kind: type = dict
    items: list[tuple[Any, Any]]

    def __new__(cls, *args: Any) -> Any:
        """Make an empty one."""
        record = super().__new__(cls, *args)
        record.items = []
        return record

    def __setitem__(self, key: Any, value: Any) -> None:
        self.items.append((key, value))

    def build(self, convert: Builder) -> Any:
        """See :meth:`Record.build`."""
        first = convert(self.args[0]) if self.args else {}
        convert.spend(64 * len(first))
        pairs = first.items() if isinstance(first, dict) else first
        content = self.kind()
        for key, value in (*pairs, *convert.pairs(self.items)):
            content[check_key(key)] = value
        return content


class Ordered(Mapping):
    """``collections.OrderedDict``."""

    kind = OrderedDict


class Dtype(Record):
    """``numpy.dtype``: ``args`` (spec, align, copy), ``state`` (.., order)."""

    def build(self, convert: Builder) -> np.dtype:
        """See :meth:`Record.build`."""
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


def _build_dtype(record: Any, convert: Builder) -> np.dtype:
    if not isinstance(record, Dtype):
        raise ValueError('array without a dtype')
    return record.build(convert)


def _array_from_buffer(
    data: Any, dtype: np.dtype, shape: Any, order: Any, convert: Builder
) -> np.ndarray:
    """Array of ``shape`` over a copy of ``data``, sizes checked."""
    if isinstance(data, str):  # bytes of Python 2, read as latin1
        convert.spend(len(data))
        data = data.encode('latin1')
    if dtype.hasobject or not isinstance(data, (bytes, bytearray)):
        raise UnsafeFileError('object array stored as raw memory')
    count = math.prod(shape)
    if len(data) != count * dtype.itemsize or (count and not data):
        raise ValueError(
            f'array of shape {tuple(shape)} and dtype {dtype} has '
            f'{len(data)} bytes'
        )
    if not data:
        return np.zeros(shape, dtype)
    convert.spend(len(data))
    return np.frombuffer(data, dtype).reshape(shape, order=order).copy('K')


class Array(Record):
    """``numpy.ndarray``; ``state`` = (_, shape, dtype, fortran, data)."""

    def build(self, convert: Builder) -> np.ndarray:
        """See :meth:`Record.build`."""
        if not isinstance(self.state, tuple) or len(self.state) != 5:
            raise ValueError('array without content')
        _, shape, dtype_record, fortran, data = self.state
        dtype = _build_dtype(dtype_record, convert)
        order: Any = 'F' if fortran else 'C'
        if dtype.kind != 'O':
            # Free the bytes, which are copied. Keep the rest alive, as the
            # builder identifies objects by id.
            self.state = (*self.state[:4], None)
            return _array_from_buffer(data, dtype, shape, order, convert)
        if not isinstance(data, list) or len(data) != math.prod(shape):
            raise ValueError('object array whose items do not match its shape')
        convert.spend(8 * len(data))
        flat = np.empty(len(data), dtype=object)
        for i, item in enumerate(data):
            flat[i] = convert(item)
        return flat.reshape(shape, order=order)


class Reconstruct(Record):
    """``numpy._core.multiarray._reconstruct``: an array without state."""

    def __new__(cls, subtype: Any, *_: Any) -> Any:
        """Make an array without state."""
        if subtype is not Array:
            raise UnsafeFileError('subclass of numpy.ndarray')
        return Array()


class FromBuffer(Record):
    """``numpy._core.numeric._frombuffer`` (pickle protocol 5)."""

    def build(self, convert: Builder) -> np.ndarray:
        """See :meth:`Record.build`."""
        data, dtype, shape, order = self.args
        dtype = _build_dtype(dtype, convert)
        return _array_from_buffer(data, dtype, shape, order, convert)


class Scalar(Record):
    """``numpy._core.multiarray.scalar``: ``args`` = (dtype, bytes)."""

    def build(self, convert: Builder) -> Any:
        """See :meth:`Record.build`."""
        dtype, data = self.args
        dtype = _build_dtype(dtype, convert)
        return _array_from_buffer(data, dtype, (), 'C', convert)[()]


class Sparse(Record):
    """A compressed SciPy matrix; ``state`` is its ``__dict__``."""

    format = 'csc'

    def build(self, convert: Builder) -> Any:
        """See :meth:`Record.build`."""
        from scipy import sparse

        state = convert(self.state)
        shape = tuple(int(n) for n in state.get('_shape', state.get('shape')))
        if math.prod(shape) > _MAX_SPARSE:
            raise UnsafeFileError(
                f'a sparse matrix of shape {shape}; allowed are '
                f'{_MAX_SPARSE:,} values'
            )
        convert.spend(8 * max(shape))
        matrix = getattr(sparse, f'{self.format}_matrix')(
            (state['data'], state['indices'], state['indptr']), shape=shape
        )
        matrix.check_format(full_check=True)
        return matrix


class SparseRows(Sparse):
    """A SciPy matrix compressed by rows."""

    format = 'csr'


class Ch(Record):
    """``chumpy.ch.Ch``: an array ``x`` in a graph, which is ignored."""

    def build(self, convert: Builder) -> np.ndarray:
        """See :meth:`Record.build`."""
        return np.asarray(convert(self.state['x']))


class ChSelect(Record):
    """``chumpy.reordering.Select``: ``a.ravel()[idxs]``, reshaped."""

    def build(self, convert: Builder) -> np.ndarray:
        """See :meth:`Record.build`."""
        source = np.asarray(convert(self.state['a']))
        indices = np.asarray(convert(self.state['idxs']))
        convert.spend(indices.size * source.itemsize)
        picked = source.ravel()[indices]
        shape = self.state.get('preferred_shape')
        return picked if shape is None else picked.reshape(convert(shape))
