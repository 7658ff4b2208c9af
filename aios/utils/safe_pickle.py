# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""An unpickler that can only build data.

A pickle is a program: :func:`pickle.load` executes arbitrary code of its
author. Body models and annotation files of this field are pickles, so they are
read with an allow-list here. Names outside the list are rejected before
anything is called. Names *on* the list never resolve to the real object of
NumPy, SciPy or chumpy but to inert records (:mod:`aios.utils.pickle_records`),
which only hold arguments and state. Arrays are built from the records
afterwards, with checks of sizes and dtypes. Hence chumpy is never needed,
SciPy only for sparse matrices, and NumPy's ``__setstate__``, which trusts its
input, never receives data from a file.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, ClassVar

from . import pickle_records as records_
from .pickle_records import Builder, CorruptFileError, Record, UnsafeFileError

__all__ = [
    'ALLOWED_CONTENT',
    'CorruptFileError',
    'Unpickler',
    'UnsafeFileError',
    'read_pickle',
    'unpickle',
]

ALLOWED_CONTENT = (
    'dict, OrderedDict, list, tuple, set, str, bytes, numbers, None, NumPy '
    'arrays and scalars (bool, integer, float, complex, text and object '
    'arrays), SciPy csc/csr matrices, chumpy arrays'
)
"""Allowed content of a pickle, for error messages."""

_CHUNK = 16 << 20


def _allow_list() -> dict[tuple[str, str], Any]:
    allowed: dict[tuple[str, str], Any] = {
        ('collections', 'OrderedDict'): records_.Ordered,
        ('numpy', 'ndarray'): records_.Array,
        ('numpy', 'dtype'): records_.Dtype,
        ('chumpy.ch', 'Ch'): records_.Ch,
        ('chumpy.reordering', 'Select'): records_.ChSelect,
    }
    for builtins in ('builtins', '__builtin__'):  # Python 3 and Python 2
        allowed[builtins, 'set'] = records_.Set
        allowed[builtins, 'frozenset'] = records_.FrozenSet
        allowed[builtins, 'complex'] = complex
        allowed[builtins, 'bytes'] = records_.EmptyBytes
        allowed[builtins, 'object'] = records_.BaseObject
    for module in ('copyreg', 'copy_reg'):
        allowed[module, '_reconstructor'] = records_.NewObject
    for core in ('numpy.core', 'numpy._core'):  # NumPy 1 and NumPy 2
        allowed[f'{core}.multiarray', '_reconstruct'] = records_.Reconstruct
        allowed[f'{core}.multiarray', 'scalar'] = records_.Scalar
        allowed[f'{core}.numeric', '_frombuffer'] = records_.FromBuffer
    for kind, record in (
        ('csc', records_.Sparse),
        ('csr', records_.SparseRows),
    ):
        for module in (kind, f'_{kind}'):  # before and after SciPy 1.8
            for suffix in ('matrix', 'array'):
                name = (f'scipy.sparse.{module}', f'{kind}_{suffix}')
                allowed[name] = record
    return allowed


_ALLOWED = _allow_list()


class _Stream:
    """A stream that is read in chunks, whatever size a file claims."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.consumed = 0

    def read(self, size: int) -> bytes:
        """``size`` bytes, or :class:`EOFError`."""
        if size <= _CHUNK:
            data = self._stream.read(size)
        else:
            sizes = (min(_CHUNK, size - at) for at in range(0, size, _CHUNK))
            pieces = iter(lambda: self._stream.read(next(sizes, 0)), b'')
            data = b''.join(pieces)
        if len(data) != size:
            raise EOFError(f'it ends {size - len(data):,} bytes too early')
        self.consumed += size
        return data

    def readline(self) -> bytes:
        """One line."""
        line = self._stream.readline()
        self.consumed += len(line)
        return line


class _Encode:
    """``_codecs.encode``: bytes in protocols 0 to 2.

    Each string is encoded once, however often a file requests it.
    """

    __slots__ = ('_done',)

    def __init__(self) -> None:
        self._done: dict[int, tuple[str, bytes]] = {}

    def __call__(self, text: str, encoding: str = 'latin1') -> bytes:
        if encoding not in ('latin1', 'latin-1'):
            raise UnsafeFileError(f'codec {encoding!r}')
        if id(text) not in self._done:
            self._done[id(text)] = (text, text.encode('latin1'))
        return self._done[id(text)][1]


# The type stubs describe the implementation in C.
_PythonUnpickler: Any = pickle._Unpickler


class Unpickler(_PythonUnpickler):
    """Read a pickle as records and plain containers of them.

    Args:
        stream: Binary stream positioned at the beginning of the pickle.
        records: Further globals (module, name) and their inert records.
        find_other: Returns the record of any other global; rejects it by
            default.
    """

    # NOTE: The implementation in Python, not the one in C, which nine bytes
    # can make allocate tens of GB (a memo index, LONG_BINPUT). It takes about
    # 2 s per million strings; arrays take the same time as in C.
    dispatch: ClassVar[dict[int, Any]] = dict(_PythonUnpickler.dispatch)

    def __init__(
        self,
        stream: BinaryIO,
        records: Mapping[tuple[str, str], Any] | None = None,
        find_other: Callable[[str, str], Any] | None = None,
    ) -> None:
        self.source = _Stream(stream)
        super().__init__(self.source, encoding='latin1')  # of Python 2
        encode = {('_codecs', 'encode'): _Encode()}
        self._records = {**_ALLOWED, **encode, **(records or {})}
        self._find_other = find_other or _refuse

    def find_class(self, module: str, name: str) -> Any:
        """The record for a global."""
        if (module, name) in self._records:
            return self._records[module, name]
        return self._find_other(module, name)

    # For these opcodes the standard library sets attributes of any object,
    # hashes any key, and allocates whatever size a file claims.

    def _build_state(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, Record):
            raise UnsafeFileError(
                f'it sets the state of a {type(target).__name__}'
            )
        target.state = state

    def _set_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._fill(self.stack[-1], [key, value])

    def _set_items(self) -> None:
        items = self.pop_mark()
        self._fill(self.stack[-1], items)

    def _make_dict(self) -> None:
        items = self.pop_mark()
        content: dict[Any, Any] = {}
        self._fill(content, items)
        self.append(content)

    @staticmethod
    def _fill(target: Any, items: list[Any]) -> None:
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[records_.check_key(key)] = value

    def _add_items(self) -> None:
        items = map(records_.check_key, self.pop_mark())
        target = self.stack[-1]
        if not isinstance(target, set):
            raise UnsafeFileError(f'a {type(target).__name__} as a set')
        target.update(items)

    def _make_frozenset(self) -> None:
        items = self.pop_mark()
        self.append(frozenset(map(records_.check_key, items)))

    def _make_bytearray(self) -> None:
        (size,) = struct.unpack('<Q', self.read(8))
        self.append(bytearray(self.read(size)))

    dispatch[pickle.BUILD[0]] = _build_state
    dispatch[pickle.SETITEM[0]] = _set_item
    dispatch[pickle.SETITEMS[0]] = _set_items
    dispatch[pickle.DICT[0]] = _make_dict
    dispatch[pickle.ADDITEMS[0]] = _add_items
    dispatch[pickle.FROZENSET[0]] = _make_frozenset
    dispatch[pickle.BYTEARRAY8[0]] = _make_bytearray


def _refuse(module: str, name: str) -> Any:
    raise UnsafeFileError(
        f'it refers to the global {module}.{name}, which is not allowed'
    )


def read_pickle(
    stream: BinaryIO,
    source: str,
    records: Mapping[tuple[str, str], type[Record]] | None = None,
) -> Any:
    """Read one pickle from ``stream`` without executing code from it.

    Args:
        stream: Binary stream positioned at the beginning of the pickle.
        source: Name of the file (and member) for error messages.
        records: Further globals (module, name) and their inert records.

    Returns:
        The content; chumpy arrays as :class:`numpy.ndarray`, SciPy matrices
        as ``csc_matrix`` / ``csr_matrix``, everything else unchanged.

    Raises:
        UnsafeFileError: The pickle names a global outside the allow-list, a
            dtype that could smuggle pointers, or takes memory or time out of
            proportion to its size. Nothing was executed.
        CorruptFileError: The pickle is truncated or malformed.
    """
    return unpickle(Unpickler(stream, records), source)


def unpickle(
    unpickler: Unpickler, source: str, leaves: tuple[type, ...] = ()
) -> Any:
    """Run an unpickler; see :func:`read_pickle`.

    Args:
        unpickler: The unpickler, which cannot be used again.
        source: Name of the file for error messages.
        leaves: Types of values that the unpickler has already built.
    """
    try:
        raw = unpickler.load()
        consumed = unpickler.source.consumed
        unpickler.memo.clear()  # holds the bytes of all arrays
        return Builder(consumed, leaves)(raw)
    except UnsafeFileError as error:
        raise UnsafeFileError(
            f'{source}: refused, {error}. Allowed: {ALLOWED_CONTENT}. No '
            'code of the file was executed.'
        ) from None
    except Exception as error:  # a hostile pickle can raise anything
        raise CorruptFileError(
            f'{source}: not a readable pickle '
            f'({type(error).__name__}: {error})'
        ) from error
