# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Hostile files are refused, honest ones read as NumPy would."""

from __future__ import annotations

import errno
import io
import pickle
import resource
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hostile_pickles import Call
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from aios.utils.safe_io import (
    CorruptFileError,
    UnsafeFileError,
    atomic_write,
    leaves_folder,
    list_npz,
    load_npy,
    load_npz,
    load_pickle,
    save_npz,
)
from aios.utils.safe_pickle import read_pickle

CONTENT = {
    'float': np.arange(6.0).reshape(2, 3),
    'fortran': np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    'zero_d': np.array(3.0),
    'empty': np.zeros((0, 3)),
    'big_endian': np.arange(3, dtype='>i4'),
    'text': np.array(['a', 'bcd']),
    'bool': np.array([True, False]),
    'objects': np.array([None, {'x': [1, (2.5, 'y')]}], dtype=object),
    'scalar': np.float32(3),
    'text_scalar': np.str_('left'),
    'bytes': [b'', b'\xff\x00'],
    'set': {1, 2},
    'frozen': frozenset({'a'}),
    'ordered': OrderedDict(b=1, a=2),
    'numbers': [None, True, 2**70, 1.5, 1j],
}


def same(a: object, b: object) -> bool:
    if isinstance(a, np.ndarray) and a.dtype != object:
        return (
            type(a) is type(b) and a.dtype == b.dtype and np.array_equal(a, b)
        )
    if isinstance(a, np.ndarray):
        return a.shape == b.shape and same(a.tolist(), b.tolist())
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and same(list(a.values()), list(b.values()))
    return type(a) is type(b) and a == b


def loads(data: bytes) -> object:
    return read_pickle(io.BytesIO(data), 'test.pkl')


# ---------------------------------------------------------------- honest files
@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_content_survives(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / 'data.pkl'
    path.write_bytes(pickle.dumps(CONTENT, protocol))
    loaded = load_pickle(path)
    for key, value in CONTENT.items():
        assert same(value, loaded[key]), key


@pytest.mark.parametrize('protocol', [0, 2, 5])
@pytest.mark.parametrize('kind', ['csc_matrix', 'csr_matrix', 'csc_array'])
def test_sparse_matrices(kind: str, protocol: int) -> None:
    dense = np.array([[0, 1.5, 0], [2, 0, 0]])
    loaded = loads(pickle.dumps(getattr(sparse, kind)(dense), protocol))
    assert loaded.format == kind[:3]
    np.testing.assert_array_equal(loaded.toarray(), dense)


def test_sparse_matrix_that_points_outside() -> None:
    matrix = sparse.csc_matrix(np.eye(3))
    matrix.indices[1] = 77
    with pytest.raises(CorruptFileError, match='test.pkl'):
        loads(pickle.dumps(matrix))


def test_numpy_1_module_paths() -> None:
    data = pickle.dumps([np.arange(3), np.float64(2)], 2)
    old = data.replace(b'numpy._core', b'numpy.core')
    assert old != data
    assert same(loads(old), [np.arange(3), np.float64(2)])


def test_array_written_by_python_2() -> None:
    numbers = np.array([1.5, 1e-300])
    data = (
        b'\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\n'
        b'q\x02K\x00\x85q\x03U\x01b\x87q\x04Rq\x05(K\x01K\x02\x85q\x06cnumpy\n'
        b'dtype\nq\x07U\x02f8K\x00K\x01\x87q\x08Rq\t(K\x03U\x01<NNNJ\xff\xff'
        b'\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x10' + numbers.tobytes()
    )
    np.testing.assert_array_equal(loads(data + b'tb.'), numbers)


@pytest.fixture
def chumpy(monkeypatch: pytest.MonkeyPatch):
    """Stand-in with the classes' names; gone again when files are read."""

    def make(module: str, name: str, **state: object) -> object:
        kind = type(name, (), {'__module__': module})
        monkeypatch.setitem(sys.modules, 'chumpy', types.ModuleType('chumpy'))
        stub = types.ModuleType(module)
        setattr(stub, name, kind)
        monkeypatch.setitem(sys.modules, module, stub)
        item = kind()
        item.__dict__.update(state)
        return item

    return make


@pytest.mark.parametrize('protocol', [0, 2, 4])
def test_chumpy_arrays_without_chumpy(chumpy, monkeypatch, protocol) -> None:
    numbers = np.arange(6.0).reshape(2, 3)
    ch = chumpy('chumpy.ch', 'Ch', x=numbers, _status='new', _itr=None)
    select = chumpy(
        'chumpy.reordering',
        'Select',
        a=ch,
        idxs=np.array([5, 0]),
        preferred_shape=(2, 1),
    )
    data = pickle.dumps({'ch': ch, 'select': select}, protocol)
    for module in ('chumpy', 'chumpy.ch', 'chumpy.reordering'):
        monkeypatch.delitem(sys.modules, module)
    loaded = loads(data)
    assert same(loaded['ch'], numbers)
    assert same(loaded['select'], np.array([[5.0], [0.0]]))


def test_shared_objects_stay_shared() -> None:
    shared = [np.arange(2)]
    loaded = loads(pickle.dumps([shared, shared]))
    assert loaded[0] is loaded[1]


@pytest.mark.parametrize('count', [0, 2, 7, 8])
def test_small_arrays_are_shared_too(tmp_path: Path, count: int) -> None:
    """AiOS caches have one array of flags for both hands of few persons."""
    flags = np.ones(count, bool)
    item = {'lhand_valid': flags, 'rhand_valid': flags}
    np.savez(tmp_path / 'cache.npz', **{'0': np.array(item, object)})
    read = load_npz(tmp_path / 'cache.npz', allow_objects=True)['0'].item()
    assert read['rhand_valid'].tolist() == [True] * count


@settings(deadline=None, max_examples=30)
@given(
    hnp.arrays(
        st.sampled_from(['f4', '>f8', 'i8', 'u1', '?', 'c8', 'U3', 'S2']),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    )
)
def test_npz_reads_what_numpy_writes(array: np.ndarray) -> None:
    path = io.BytesIO()
    np.savez(path, array=array)
    np.testing.assert_array_equal(load_npz(path)['array'], array)


def test_npz_objects_and_keys(tmp_path: Path) -> None:
    path = tmp_path / 'data.npz'
    np.savez(path, a=np.arange(3), meta=np.array(CONTENT, dtype=object))
    assert list_npz(path) == ['a', 'meta']
    assert list(load_npz(path, keys=['a', 'none'])) == ['a']
    meta = load_npz(path, allow_objects=True)['meta']
    assert meta.shape == ()
    assert same(meta.item()['objects'], CONTENT['objects'])
    with pytest.raises(UnsafeFileError, match=r'data\.npz\[meta\]'):
        load_npz(path)


def test_loaded_arrays_are_writable(tmp_path: Path) -> None:
    np.savez(tmp_path / 'a.npz', a=np.arange(3))
    load_npz(tmp_path / 'a.npz')['a'][0] = 7
    loads(pickle.dumps(np.arange(3)))[0] = 7


def test_npy(tmp_path: Path) -> None:
    np.save(tmp_path / 'a.npy', np.arange(3))
    np.testing.assert_array_equal(load_npy(tmp_path / 'a.npy'), np.arange(3))
    np.save(tmp_path / 'b.npy', np.array([{}], dtype=object))
    with pytest.raises(UnsafeFileError, match='Python objects'):
        load_npy(tmp_path / 'b.npy')
    assert load_npy(tmp_path / 'b.npy', allow_objects=True)[0] == {}


# --------------------------------------------------------------- hostile files
@pytest.mark.parametrize('protocol', [0, 2, 4])
@pytest.mark.parametrize('container', ['pkl', 'npz', 'npy'])
def test_code_is_refused_not_run(
    tmp_path: Path, container: str, protocol: int
) -> None:
    canary = tmp_path / 'canary'
    path = tmp_path / f'model.{container}'
    attack = Call(Path.touch, canary)
    if container == 'pkl':
        path.write_bytes(pickle.dumps({'v_template': attack}, protocol))
    elif container == 'npy':
        np.save(path, np.array([attack], dtype=object))
    else:
        np.savez(path, a=np.array([attack], dtype=object))
    load = {'pkl': load_pickle, 'npz': load_npz, 'npy': load_npy}[container]
    options = {} if container == 'pkl' else {'allow_objects': True}
    with pytest.raises(UnsafeFileError) as caught:
        load(path, **options)
    assert not canary.exists()
    assert path.name in str(caught.value)
    assert 'global' in str(caught.value)  # names what it asked for


@pytest.mark.parametrize(
    ('function', 'name'),
    [
        (eval, 'builtins.eval'),
        (getattr, 'builtins.getattr'),
        (__import__, 'builtins.__import__'),
        (np.load, 'numpy.load'),
        (np.fromfile, 'numpy.fromfile'),
        (bytearray, 'builtins.bytearray'),
        (types.SimpleNamespace, 'types.SimpleNamespace'),
    ],
)
def test_refusal_names_the_global(function, name: str) -> None:
    with pytest.raises(UnsafeFileError, match=rf'{name}\b.*not allowed'):
        loads(pickle.dumps(Call(function, 'x'), 4))


@pytest.mark.parametrize(
    'data',
    [
        # a class of the allow-list, changed by BUILD
        b'cnumpy\nndarray\n(N}S"build"\nNstb.',
        b'cnumpy\ndtype\n}S"build"\nNsb.',
        # bytes(10**15)
        b'c__builtin__\nbytes\n(I1000000000000000\ntR.',
        # the class itself as the value
        b'cnumpy\nndarray\n.',
        # copyreg._reconstructor of a foreign class
        b'ccopy_reg\n_reconstructor\n(c__builtin__\ncomplex\n'
        b'c__builtin__\nobject\nNtR.',
        # persistent id, extension code
        b'Psomewhere\n.',
        b'\x82\x01.',
    ],
)
def test_odd_programs(data: bytes) -> None:
    with pytest.raises((UnsafeFileError, CorruptFileError), match='test.pkl'):
        loads(data)
    assert same(loads(pickle.dumps(CONTENT['float'])), CONTENT['float'])


def _array_pickle(dtype: tuple, dtype_state: tuple | None, *state) -> bytes:
    """Pickle of an ndarray whose parts are chosen freely."""
    kind = Call(np.dtype, *dtype)
    dtype_code = pickle.dumps(kind, 2)[2:-1]
    if dtype_state is not None:
        dtype_code += pickle.dumps(dtype_state, 2)[2:-1] + b'b'
    version, shape, fortran, data = state
    return (
        b'\x80\x02cnumpy.core.multiarray\n_reconstruct\n'
        b'(cnumpy\nndarray\nK\x00\x85U\x01btR('
        + pickle.dumps(version, 2)[2:-1]
        + pickle.dumps(shape, 2)[2:-1]
        + dtype_code
        + pickle.dumps(fortran, 2)[2:-1]
        + pickle.dumps(data, 2)[2:-1]
        + b'tb.'
    )


PLAIN = (3, '<', None, None, None, -1, -1, 0)


def test_free_form_array_pickle_is_valid() -> None:
    data = _array_pickle(
        ('f8', False, True), PLAIN, 1, (1,), False, struct.pack('<d', 2.5)
    )
    assert same(loads(data), np.array([2.5]))


@pytest.mark.parametrize(
    ('dtype', 'dtype_state', 'shape', 'data'),
    [
        ('O', PLAIN, (1,), b'\x00' * 8),  # raw memory as pointers
        ('O', PLAIN, (2,), [None]),  # fewer items than the shape says
        ('f8', PLAIN, (10**12,), b'\x00' * 8),
        ('f8', PLAIN, (-1,), b'\x00' * 8),
        ('f8', PLAIN, (1,), [1.0]),
        (
            'V8',
            (3, '|', None, ('a',), {'a': (np.dtype('O'), 0)}, 8, 1, 0),
            (1,),
            b'\x00' * 8,
        ),
        ('M8', (3, '<', None, None, None, -1, -1, 0), (1,), b'\x00' * 8),
    ],
)
def test_lying_arrays(dtype, dtype_state, shape, data) -> None:
    program = _array_pickle(
        (dtype, False, True), dtype_state, 1, shape, False, data
    )
    with pytest.raises((UnsafeFileError, CorruptFileError), match='test.pkl'):
        loads(program)


def test_huge_memo_index_takes_no_memory() -> None:
    program = b'\x80\x02Nr' + struct.pack('<I', 2**31 - 1) + b'.'
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert loads(program) is None
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 100_000  # kB


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_damaged_pickles_raise_our_errors_only(data: st.DataObject) -> None:
    program = bytearray(pickle.dumps(CONTENT['objects'], 4))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(program) - 1))
        program[place] = data.draw(st.integers(0, 255))
    del program[data.draw(st.integers(1, len(program))) :]
    try:
        loads(bytes(program))
    except (UnsafeFileError, CorruptFileError) as error:
        assert 'test.pkl' in str(error)


def test_truncated_npz(tmp_path: Path) -> None:
    whole = tmp_path / 'whole.npz'
    np.savez(whole, a=np.arange(1000.0))
    content = whole.read_bytes()
    for size in (0, 1, 30, len(content) // 2, len(content) - 1):
        path = tmp_path / f'cut{size}.npz'
        path.write_bytes(content[:size])
        with pytest.raises(CorruptFileError, match=path.name):
            load_npz(path)


def test_flipped_byte_in_npz(tmp_path: Path) -> None:
    path = tmp_path / 'a.npz'
    np.savez(path, a=np.arange(1000.0))
    content = bytearray(path.read_bytes())
    content[4000] ^= 1
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match=r'a\.npz\[a\]: damaged'):
        load_npz(path)


def _zip(path: Path, *members: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_header_that_lies_about_the_size(tmp_path: Path) -> None:
    content = _npy(np.zeros(3))
    for lie in (b'(300,), ', b'(-3,), ', b'(999999999999,), '):
        padding = b' ' * (len(lie) - len(b'(3,), '))
        liar = content.replace(b'(3,), ', lie).replace(padding + b'\n', b'\n')
        assert len(liar) == len(content)
        path = _zip(tmp_path / 'lie.npz', ('a.npy', liar))
        with pytest.raises(CorruptFileError, match=r'lie\.npz\[a\]'):
            load_npz(path)
        (tmp_path / 'lie.npy').write_bytes(liar)
        with pytest.raises(CorruptFileError, match=r'lie\.npy'):
            load_npy(tmp_path / 'lie.npy')


def test_zip_bomb(tmp_path: Path) -> None:
    path = tmp_path / 'bomb.npz'
    np.savez_compressed(path, a=np.zeros(10**6))
    assert path.stat().st_size < 20_000
    with pytest.raises(UnsafeFileError, match=r'8,000,\d+ bytes.*max_bytes'):
        load_npz(path, max_bytes=10**6)


@pytest.mark.parametrize('name', ['evil.sh', 'folder/'])
def test_strange_members(tmp_path: Path, name: str) -> None:
    path = _zip(
        tmp_path / 'odd.npz', ('a.npy', _npy(np.zeros(1))), (name, b'')
    )
    with pytest.raises(CorruptFileError, match=name):
        load_npz(path)


@pytest.mark.filterwarnings('ignore:Duplicate name')
def test_duplicate_members(tmp_path: Path) -> None:
    member = ('a.npy', _npy(np.zeros(1)))
    with pytest.raises(CorruptFileError, match=r'a\.npy'):
        load_npz(_zip(tmp_path / 'twice.npz', member, member))


def test_missing_file_is_a_file_not_found_error(tmp_path: Path) -> None:
    for load in (load_npz, load_npy, load_pickle):
        with pytest.raises(FileNotFoundError):
            load(tmp_path / 'none')


# --------------------------------------------------------------------- writing
def test_save_npz_is_plain_and_repeatable(tmp_path: Path) -> None:
    arrays = {'a': np.arange(3), 'text': 'hello'}
    for file in ('one.npz', 'deep/two.npz'):
        save_npz(tmp_path / file, arrays)
    with np.load(tmp_path / 'one.npz', allow_pickle=False) as file:
        assert file['text'] == 'hello'
    first, second = tmp_path / 'one.npz', tmp_path / 'deep/two.npz'
    assert first.read_bytes() == second.read_bytes()


def test_save_npz_refuses_objects(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'a\.npz\[bad\].*objects'):
        save_npz(tmp_path / 'a.npz', {'bad': [{}]})
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten_silently(tmp_path: Path) -> None:
    path = tmp_path / 'a.npz'
    path.write_text('mine')
    with pytest.raises(FileExistsError, match=r'a\.npz'):
        save_npz(path, {'a': 1})
    assert path.read_text() == 'mine'
    save_npz(path, {'a': 1}, overwrite=True)
    assert load_npz(path)['a'] == 1


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    path = tmp_path / 'a.bin'
    path.write_text('old')
    with (
        pytest.raises(RuntimeError, match='stop'),
        atomic_write(path, overwrite=True) as stream,
    ):
        stream.write(b'half')
        raise RuntimeError('stop')
    with (
        pytest.raises(OSError, match=r'No space left .*a\.bin'),
        atomic_write(path, overwrite=True),
    ):
        raise OSError(errno.ENOSPC, 'No space left on device')
    assert path.read_text() == 'old'
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('path', ['a.jpg', 'a/b..jpg', 'a/../b.jpg', 'ü/x'])
def test_paths_inside(path: str) -> None:
    assert not leaves_folder(path)


@pytest.mark.parametrize(
    'path',
    [
        '/etc/passwd',
        '../a',
        'a/../../b',
        '..',
        'a\\..\\..\\b',
        'C:\\a',
        '\\\\a',
    ]
    + ['C:a', 'a\0b'],
)
def test_paths_outside(path: str) -> None:
    assert leaves_folder(path)
