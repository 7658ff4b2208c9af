# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Pickles and checkpoints with contents that no library writes."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Any, *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, tuple[object, ...]]:
        return self.call


def text(value: str) -> bytes:
    """Put a string on the stack."""
    data = value.encode()
    return pickle.BINUNICODE + struct.pack('<I', len(data)) + data


def number(value: int) -> bytes:
    """Put an integer on the stack."""
    return pickle.LONG1 + b'\x09' + value.to_bytes(9, 'little', signed=True)


def name(module: str, attribute: str) -> bytes:
    """Put a global on the stack."""
    return pickle.GLOBAL + f'{module}\n{attribute}\n'.encode()


def get(number: int) -> bytes:
    """Put what was kept under a number on the stack."""
    return pickle.BINGET + bytes([number])


def keep(number: int) -> bytes:
    """Keep the top of the stack under a number."""
    return pickle.BINPUT + bytes([number])


def call(function: bytes, *args: bytes) -> bytes:
    """Call with up to three arguments."""
    tuples = (pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3)
    return function + b''.join(args) + tuples[len(args) - 1] + pickle.REDUCE


def mapping(*items: bytes) -> bytes:
    """Dictionary of keys and values."""
    return pickle.EMPTY_DICT + pickle.MARK + b''.join(items) + pickle.SETITEMS


def program(body: bytes) -> bytes:
    """A complete pickle whose result is the value of the opcodes."""
    return pickle.PROTO + b'\x02' + body + pickle.STOP


def write_checkpoint(
    path: Path, body: bytes, storages: Mapping[str, bytes] | None = None
) -> Path:
    """A file in the format of ``torch.save`` around a pickle."""
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('archive/data.pkl', program(body))
        archive.writestr('archive/byteorder', 'little')
        archive.writestr('archive/version', '3\n')
        for key, data in (storages or {}).items():
            archive.writestr(f'archive/data/{key}', data)
    return path


GETATTR = name('__builtin__', 'getattr')
HISTORY = (
    name('mmengine.logging.history_buffer', 'HistoryBuffer')
    + pickle.EMPTY_TUPLE
    + pickle.NEWOBJ
)
BUILTINS = call(GETATTR, GETATTR, text('__self__'))
EXEC = call(GETATTR, BUILTINS, text('exec'))


def runs_while_it_is_read(code: str) -> bytes:
    """A history whose state is set by ``exec``."""
    return mapping(
        text('state_dict'),
        pickle.EMPTY_DICT,
        text('history'),
        HISTORY
        + mapping(text('__setstate__'), EXEC)
        + pickle.BUILD
        + text(code)
        + pickle.BUILD,
    )


def runs_when_it_is_copied(code: str) -> bytes:
    """A history that is copied by ``exec``."""
    recipe = EXEC + text(code) + pickle.TUPLE1 + pickle.TUPLE2
    items = pickle.EMPTY_LIST + pickle.MARK
    items += 4 * pickle.NONE + recipe + pickle.APPENDS
    pick = call(GETATTR, items, text('__getitem__'))
    return mapping(
        text('state_dict'),
        pickle.EMPTY_DICT,
        text('history'),
        HISTORY + mapping(text('__reduce_ex__'), pick) + pickle.BUILD,
    )


def doubled_tuples(levels: int = 40) -> bytes:
    """A tuple of two, both the same tuple of two, and so on."""
    body = text('a')
    for level in range(levels):
        body += keep(level) + get(level) + pickle.TUPLE2
    return body


def array(dtype: str, size: int, data: bytes) -> bytes:
    """A NumPy array of one axis."""
    kind = name('numpy', 'dtype') + text(dtype)
    kind += pickle.NEWFALSE + pickle.NEWTRUE + pickle.TUPLE3 + pickle.REDUCE
    memory = pickle.BINSTRING + struct.pack('<i', len(data)) + data
    shape = number(size) + pickle.TUPLE1
    empty = name('numpy', 'ndarray') + pickle.EMPTY_TUPLE + pickle.REDUCE
    state = number(1) + shape + kind + pickle.NEWFALSE + memory
    return empty + pickle.MARK + state + pickle.TUPLE + pickle.BUILD
