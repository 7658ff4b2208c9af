# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Read files of unknown origin safely, and write files atomically.

``np.load(allow_pickle=True)`` and ``pickle.load`` execute code from the file.
The functions here read the same formats as data only; see
:mod:`aios.utils.safe_pickle` for the allowed content of a pickle.
"""

from __future__ import annotations

import errno
import lzma
import math
import os
import posixpath
import re
import tokenize
import uuid
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib import format as npy_format

from .safe_pickle import CorruptFileError, UnsafeFileError, read_pickle

__all__ = [
    'DEFAULT_MAX_BYTES',
    'ZIP_ERRORS',
    'CorruptFileError',
    'UnsafeFileError',
    'atomic_write',
    'is_half_written',
    'iter_npz',
    'leaves_folder',
    'list_npz',
    'load_npy',
    'load_npz',
    'load_pickle',
    'named_errors',
    'refuse_existing',
    'remove_half_written',
    'save_npz',
    'written_aside',
]

DEFAULT_MAX_BYTES = 32 << 30
"""Default limit of the unpacked size of a file: 32 GiB. The largest annotation
files of the field (a million rows of 190 keypoints) unpack to about a third of
it."""

_TEMPORARY = re.compile(r'\.(.+\.)?[0-9a-f]{32}\.tmp', re.DOTALL)
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,  # unknown compression method
    RuntimeError,  # encrypted member
    OSError,
    lzma.LZMAError,
    UnicodeDecodeError,  # name of a member
)
"""Exceptions of :mod:`zipfile` for unreadable members."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # writing fails
_CHUNK = 16 << 20
_MAX_RATIO = 200
_FREE_BYTES = 512 << 20
_HEADER_READERS = {
    (1, 0): npy_format.read_array_header_1_0,
    (2, 0): npy_format.read_array_header_2_0,
}


def load_pickle(path: str | os.PathLike) -> Any:
    """Read a ``.pkl`` file without executing code from it.

    Args:
        path: The file.

    Returns:
        The content; see :func:`aios.utils.safe_pickle.read_pickle`.

    Raises:
        FileNotFoundError: There is no such file.
        UnsafeFileError: The file contains more than plain data.
        CorruptFileError: The file is truncated or not a pickle.
    """
    with open(path, 'rb') as stream:
        return read_pickle(stream, str(path))


def load_npy(
    path: str | os.PathLike, allow_objects: bool = False
) -> np.ndarray:
    """Read an ``.npy`` file; object arrays through the allow-list.

    Args:
        path: The file.
        allow_objects: Accept arrays of dtype ``object``. They are parsed by
            :func:`aios.utils.safe_pickle.read_pickle`.

    Returns:
        The array, writable.

    Raises:
        FileNotFoundError: There is no such file.
        UnsafeFileError: The file contains more than plain data.
        CorruptFileError: The file is truncated or not an ``.npy`` file.
    """
    size = os.path.getsize(path)
    with open(path, 'rb') as stream:
        return _read_array(stream, str(path), size, allow_objects)


def list_npz(path: str | os.PathLike) -> list[str]:
    """Names of the arrays in an ``.npz`` file, without reading them.

    Raises:
        FileNotFoundError: There is no such file.
        CorruptFileError: The file is not an ``.npz`` file.
    """
    with _open_zip(path) as archive:
        return list(_members(archive, path))


def load_npz(
    path: str | os.PathLike,
    keys: Iterable[str] | None = None,
    allow_objects: bool = False,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> dict[str, np.ndarray]:
    """Read an ``.npz`` file; object arrays through the allow-list.

    Args:
        path: The file.
        keys: Arrays to read; others are not parsed, and missing ones are left
            out of the result. ``None`` reads all.
        allow_objects: Accept arrays of dtype ``object`` (a dict is stored
            as a 0-d one: ``result['meta'].item()``). They are parsed by
            :func:`aios.utils.safe_pickle.read_pickle`.
        max_bytes: Limit of the unpacked size of the requested arrays.

    Returns:
        Arrays by name, in the order of the file, writable.

    Raises:
        FileNotFoundError: There is no such file.
        UnsafeFileError: The file contains more than plain data, or needs more
            memory than ``max_bytes``.
        CorruptFileError: The file is truncated, damaged or not an ``.npz``.
    """
    wanted = None if keys is None else set(keys)
    with _open_zip(path) as archive:
        members = {
            key: info
            for key, info in _members(archive, path).items()
            if wanted is None or key in wanted
        }
        total = sum(info.file_size for info in members.values())
        if total > max_bytes:
            raise UnsafeFileError(
                f'{path}: unpacks to {total:,} bytes, more than the allowed '
                f'{max_bytes:,} (argument max_bytes)'
            )
        return {
            key: _read_member(archive, info, f'{path}[{key}]', allow_objects)
            for key, info in members.items()
        }


def iter_npz(
    path: str | os.PathLike,
    keys: Iterable[str],
    allow_objects: bool = False,
) -> Iterator[tuple[str, np.ndarray]]:
    """Read arrays of an ``.npz`` file one at a time.

    Args:
        path: The file.
        keys: Names of the arrays, in the order of reading.
        allow_objects: See :func:`load_npz`.

    Yields:
        Name and array.

    Raises:
        FileNotFoundError: There is no such file.
        UnsafeFileError: The file contains more than plain data, or needs more
            memory than :data:`DEFAULT_MAX_BYTES`.
        CorruptFileError: The file is damaged or lacks an array.
    """
    with _open_zip(path) as archive:
        members = _members(archive, path)
        for key in keys:
            if key not in members:
                raise CorruptFileError(f'{path}: has no array {key!r}')
            info, source = members[key], f'{path}[{key}]'
            if info.file_size > DEFAULT_MAX_BYTES:
                raise UnsafeFileError(
                    f'{source}: unpacks to {info.file_size:,} bytes, more '
                    f'than the allowed {DEFAULT_MAX_BYTES:,}'
                )
            yield key, _read_member(archive, info, source, allow_objects)


def save_npz(
    path: str | os.PathLike,
    arrays: Mapping[str, Any],
    overwrite: bool = False,
    compress: bool = True,
) -> None:
    """Write a plain ``.npz`` file atomically.

    Args:
        path: Target; missing parent folders are made.
        arrays: Arrays by name; anything :func:`numpy.asarray` converts to an
            array without Python objects.
        overwrite: Replace an existing file.
        compress: Deflate the arrays.

    Raises:
        FileExistsError: The target exists and ``overwrite`` is false.
        ValueError: An array holds Python objects.
    """
    plain = {key: np.asarray(value) for key, value in arrays.items()}
    for key, array in plain.items():
        if array.dtype.hasobject:
            raise ValueError(
                f'{path}[{key}]: dtype {array.dtype} holds Python objects; '
                'only plain arrays are written'
            )
    write: Any = np.savez_compressed if compress else np.savez
    with atomic_write(path, overwrite=overwrite) as stream:
        write(stream, **plain)


def leaves_folder(path: str) -> bool:
    """Whether a path in a file leaves the folder it is relative to.

    Absolute paths, also of Windows, and ``..`` beyond the folder do.

    Args:
        path: The path in the file.
    """
    if path[:1] not in '/\\' and ':' not in path[:2] and '..' not in path:
        return '\0' in path
    path = posixpath.normpath(path.replace('\\', '/'))
    return path.startswith(('/', '../')) or path == '..' or path[1:2] == ':'


@contextmanager
def atomic_write(
    path: str | os.PathLike, overwrite: bool = False
) -> Iterator[BinaryIO]:
    """Binary stream whose content appears at ``path`` only when complete.

    Data is written to a temporary file beside the target, which is renamed at
    the end; after an error it is removed.

    Args:
        path: Target; missing parent folders are made.
        overwrite: Replace an existing file.

    Yields:
        The open temporary file.

    Raises:
        FileExistsError: The target exists and ``overwrite`` is false.
    """
    with (
        written_aside(path, overwrite) as temporary,
        open(temporary, 'xb') as stream,
    ):
        yield stream


@contextmanager
def written_aside(
    path: str | os.PathLike, overwrite: bool = False
) -> Iterator[Path]:
    """Path of a temporary file that is renamed to ``path`` when complete.

    For functions that write files by name; see :func:`atomic_write`.

    Args:
        path: Target; missing parent folders are made.
        overwrite: Replace an existing file.

    Yields:
        Path of a file that does not exist, beside the target.

    Raises:
        FileExistsError: The target exists and ``overwrite`` is false.
    """
    path = Path(path)
    refuse_existing(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    # File systems limit the length of names.
    temporary = path.with_name(f'.{path.name[:40]}.{uuid.uuid4().hex}.tmp')
    try:
        yield temporary
        with open(temporary, 'r+b') as stream:
            os.fsync(stream.fileno())
        refuse_existing(path, overwrite)
        os.replace(temporary, path)
    except OSError as error:
        if error.errno in _FULL and error.filename is None:
            error.filename = str(path)  # part of the message
        raise
    finally:
        temporary.unlink(missing_ok=True)


def remove_half_written(
    folder: str | os.PathLike, recursive: bool = False
) -> None:
    """Remove temporary files of :func:`atomic_write` in a killed process.

    Args:
        folder: Folder in which no process writes.
        recursive: Also in its sub-folders.
    """
    folder = Path(folder)
    for path in folder.rglob('.*') if recursive else folder.glob('.*'):
        # A label store has a temporary folder, which its process removes.
        if is_half_written(path) and not path.is_dir():
            path.unlink(missing_ok=True)


def is_half_written(path: Path) -> bool:
    """Whether a file has the name of a temporary file."""
    return bool(_TEMPORARY.fullmatch(path.name))


@contextmanager
def named_errors(path: str | os.PathLike) -> Iterator[None]:
    """Raise ``ValueError`` with the name of a file for odd content of it.

    Args:
        path: The file. Errors that name it already do not change.
    """
    try:
        yield
    except (
        *(ArithmeticError, AttributeError, LookupError),
        *(TypeError, ValueError),
    ) as error:
        if isinstance(error, ValueError) and str(path) in str(error):
            raise
        raise ValueError(f'{path}: {error}') from error


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise ``FileExistsError`` if a file exists and must be kept."""
    if path.exists() and not overwrite:
        raise FileExistsError(
            f'{path} exists and is not overwritten; overwrite=True replaces it'
        )


@contextmanager
def _open_zip(path: str | os.PathLike) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise
    except ZIP_ERRORS as error:
        raise CorruptFileError(
            f'{path}: truncated or not an .npz file ({error})'
        ) from error
    with archive:
        yield archive


def _members(
    archive: zipfile.ZipFile, path: str | os.PathLike
) -> dict[str, zipfile.ZipInfo]:
    members: dict[str, zipfile.ZipInfo] = {}
    for info in archive.infolist():
        key = info.filename.removesuffix('.npy')
        if key == info.filename or key in members:
            raise CorruptFileError(
                f'{path}: unexpected member {info.filename!r}; an .npz file '
                'contains only .npy members with distinct names'
            )
        members[key] = info
    _check_sizes(archive, path)
    return members


def _check_sizes(archive: zipfile.ZipFile, path: str | os.PathLike) -> None:
    """Reject impossible sizes, and zip bombs."""
    size = archive.start_dir  # end of the members
    packed = sum(info.compress_size for info in archive.infolist())
    unpacked = sum(info.file_size for info in archive.infolist())
    if packed > size or unpacked > max(_FREE_BYTES, _MAX_RATIO * size):
        raise UnsafeFileError(
            f'{path}: its {size:,} bytes declare {packed:,}, and '
            f'{unpacked:,} unpacked'
        )


def _read_member(
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    source: str,
    allow_objects: bool,
) -> np.ndarray:
    try:
        with archive.open(info) as stream:
            return _read_array(stream, source, info.file_size, allow_objects)
    except ZIP_ERRORS as error:
        raise CorruptFileError(f'{source}: damaged ({error})') from error


def _read_array(
    stream: Any, source: str, size: int, allow_objects: bool
) -> np.ndarray:
    """Parse one ``.npy`` stream of ``size`` bytes."""
    try:
        version = npy_format.read_magic(stream)
        if version not in _HEADER_READERS:
            raise ValueError(f'.npy version {version} is not supported')
        shape, fortran, dtype = _HEADER_READERS[version](stream)
    except (ValueError, tokenize.TokenError) as error:
        raise CorruptFileError(
            f'{source}: not an .npy array ({error})'
        ) from error
    if dtype.hasobject:
        return _read_objects(stream, source, shape, dtype, allow_objects)
    return _read_plain(stream, source, size, shape, fortran, dtype)


def _read_plain(
    stream: Any,
    source: str,
    size: int,
    shape: tuple[int, ...],
    fortran: bool,
    dtype: np.dtype,
) -> np.ndarray:
    num_bytes = math.prod(shape) * dtype.itemsize
    if num_bytes != size - stream.tell() or min(shape, default=0) < 0:
        raise CorruptFileError(
            f'{source}: its header declares shape {shape} of {dtype} = '
            f'{num_bytes:,} bytes, it has {size - stream.tell():,}'
        )
    if num_bytes == 0:
        if math.prod(shape):
            raise CorruptFileError(f'{source}: dtype {dtype} has no data')
        return np.zeros(shape, dtype)
    # Pages of np.empty are allocated only when data fills them.
    data = np.empty(num_bytes, np.uint8)
    filled = 0
    while filled < num_bytes:
        count = stream.readinto(data[filled : filled + _CHUNK].data)
        if not count:
            raise CorruptFileError(f'{source}: ends after {filled:,} bytes')
        filled += count
    order: Any = 'F' if fortran else 'C'
    return data.view(dtype).reshape(shape, order=order)


def _read_objects(
    stream: Any,
    source: str,
    shape: tuple[int, ...],
    dtype: np.dtype,
    allow_objects: bool,
) -> np.ndarray:
    if not allow_objects or dtype.kind != 'O':
        raise UnsafeFileError(
            f'{source}: contains Python objects (dtype {dtype}), allowed are '
            'plain arrays'
        )
    array = read_pickle(stream, source)
    if not isinstance(array, np.ndarray) or array.shape != shape:
        raise CorruptFileError(
            f'{source}: its header declares an object array of shape '
            f'{shape}, the content does not match'
        )
    return array
