# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Small pickles that would take much memory, or years."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fuzz.harness import Reader, run_cases
from hostile_pickles import (
    array,
    call,
    doubled_tuples,
    mapping,
    name,
    number,
    program,
    text,
)
from scipy import sparse

from aios.utils.dataframe import load_dataframe
from aios.utils.safe_io import load_npz, load_pickle


def _contains_itself() -> bytes:
    loop: list = []
    loop.append(loop)
    return pickle.dumps(loop)


def _lists_of_lists(levels: int) -> bytes:
    tree: list = []
    for _ in range(levels):
        tree = [tree, tree]
    return pickle.dumps(tree)


EXPENSIVE = {
    'bytearray of 8 GB': b'\x80\x05\x96' + struct.pack('<Q', 8 << 30) + b'.',
    'bytes of 8 GB': b'\x80\x04\x8e' + struct.pack('<Q', 8 << 30) + b'.',
    'frame of 8 GB': b'\x80\x04\x95' + struct.pack('<Q', 8 << 30) + b'.',
    'key that takes years': program(mapping(doubled_tuples(), b'N')),
    'set of it': b'\x80\x04\x8f(' + doubled_tuples() + b'\x90.',
    'frozenset of it': b'\x80\x04(' + doubled_tuples() + b'\x91.',
    'call of set': program(
        call(name('__builtin__', 'set'), b'](' + doubled_tuples() + b'e')
    ),
    'pairs': program(
        call(
            name('collections', 'OrderedDict'),
            b'](' + doubled_tuples() + b'N\x86e',
        )
    ),
    'key of 10,000 digits': pickle.dumps({10**10_000: 1}, 2),
    'deep lists': b'\x80\x02' + 3000 * b'](' + b'N' + 3000 * b'e' + b'.',
    'list in itself': _contains_itself(),
    '2**60 lists': _lists_of_lists(60),
    'text without length': program(array('U0', 10**9, b'')),
    'one text encoded 10,000 times': program(
        b'](X'
        + struct.pack('<I', 1 << 20)
        + bytes(1 << 20)
        + b'q\x010'
        + 10_000 * call(name('_codecs', 'encode'), b'h\x01', text('latin1'))
        + b'e'
    ),
    'sparse matrix of 8 TB': pickle.dumps(sparse.csc_matrix((10**6, 10**6))),
}


@pytest.mark.parametrize('case', EXPENSIVE)
def test_small_files_take_little(tmp_path: Path, case: str) -> None:
    """Refused, or read as what they are, before memory or time is spent."""
    (tmp_path / 'small.pkl').write_bytes(EXPENSIVE[case])
    reader = Reader('pickle', 'small.pkl', None, print, load_pickle)
    (result,) = run_cases(reader, [tmp_path / 'small.pkl'])
    expected = 'read' if 'encoded' in case else 'refused'
    assert result.end == expected, result.message


def test_array_made_by_hand_is_valid(tmp_path: Path) -> None:
    (tmp_path / 'a.pkl').write_bytes(program(array('u1', 3, b'abc')))
    assert load_pickle(tmp_path / 'a.pkl').tobytes() == b'abc'


def _lie(path: Path, packed: int, size: int) -> None:
    """An npz whose directory announces other sizes than it has."""
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        header = io.BytesIO()
        np.lib.format.write_array_header_1_0(
            header,
            dict(descr='|u1', fortran_order=False, shape=(size,)),
        )
        archive.writestr('a.npy', header.getvalue())
        info = archive.getinfo('a.npy')
        total = size + len(header.getvalue())
        info.compress_size, info.file_size = packed, total


@pytest.mark.parametrize('packed', [100, 1 << 30])
def test_npz_with_false_sizes(tmp_path: Path, packed: int) -> None:
    _lie(tmp_path / 'a.npz', packed, 3 << 30)
    reader = Reader('npz', 'a.npz', None, print, load_npz)
    (result,) = run_cases(reader, [tmp_path / 'a.npz'])
    assert result.end == 'refused', result
    assert 'declare' in result.message


def test_columns_of_a_frame(tmp_path: Path) -> None:
    """``slice(0, 10**9)`` names 8 GB of columns."""
    body = call(
        name('pandas._libs.internals', '_unpickle_block'),
        array('u1', 0, b''),
        call(name('builtins', 'slice'), number(0), number(10**9)),
    )
    (tmp_path / 'a.pkl').write_bytes(program(body))
    reader = Reader('frame', 'a.pkl', None, print, load_dataframe)
    (result,) = run_cases(reader, [tmp_path / 'a.pkl'])
    assert result.end == 'refused', result
    assert 'out of proportion' in result.message
