# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Read rows of large arrays in ``.npz`` files in constant memory.

A member of an ``.npz`` file is a compressed stream.  Sequential reading needs
memory for a block of rows only.
"""

from __future__ import annotations

import math
import os
import tempfile
import tokenize
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

import numpy as np

from .safe_io import (
    _HEADER_READERS,
    ZIP_ERRORS,
    CorruptFileError,
    _members,
    _open_zip,
    load_npz,
    npy_format,
)

_BLOCK_BYTES = 1 << 20


class NpzRows:
    """A plain array of an ``.npz`` file whose rows are read on demand.

    Rows in ascending order are read sequentially. If earlier rows are
    requested, the array is first unpacked to a temporary file (``$TMPDIR``).

    Args:
        path: The file.
        key: Name of the array; it must be :meth:`readable`.

    Raises:
        CorruptFileError: The array is damaged; also raised by reading rows.
    """

    def __init__(self, path: str | os.PathLike, key: str) -> None:
        self._path, self._key = path, key
        self._archive: Any = None
        self._stream: Any = None
        self._unpacked: BinaryIO | None = None
        self._next = 0
        self._archive = _open_zip(path)
        archive = self._archive.__enter__()
        info = _members(archive, path)[key]
        try:
            self._stream = archive.open(info)
            version = npy_format.read_magic(self._stream)
            self.shape, self._fortran, self.dtype = _HEADER_READERS[version](
                self._stream
            )
        except (
            *(ValueError, KeyError, tokenize.TokenError),
            *ZIP_ERRORS,
        ) as error:
            self.close()
            raise self._damaged(error) from error
        self._row_bytes = math.prod(self.shape[1:]) * self.dtype.itemsize
        size = info.file_size - self._stream.tell()
        self._whole = size == self._row_bytes * (self.shape or (0,))[0]

    def readable(self) -> bool:
        """Whether rows can be read: complete C-order array of numbers."""
        plain = self.dtype.kind in 'fiub' and not self._fortran
        return plain and self._whole and self._row_bytes > 0

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return int(self.shape[0])

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Copy of rows: a slice, or non-negative integers ``(n,)``."""
        if isinstance(rows, slice):
            rows = np.arange(len(self))[rows]
        rows = np.asarray(rows, np.int64)
        out = np.empty((len(rows), *self.shape[1:]), self.dtype)
        if not len(rows):
            return out
        if self._unpacked is None and (
            rows[0] < self._next or (np.diff(rows) < 0).any()
        ):
            self._unpack()
        try:
            if self._unpacked is None:
                self._read_ahead(rows, out)
            else:
                self._read_unpacked(self._unpacked, rows, out)
        except ZIP_ERRORS as error:
            raise self._damaged(error) from error
        return out

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def close(self) -> None:
        """Close the file."""
        for file in (self._stream, self._unpacked):
            if file is not None:
                file.close()
        self._stream = self._unpacked = None
        if self._archive is not None:
            self._archive.__exit__(None, None, None)
            self._archive = None

    def __del__(self) -> None:
        self.close()

    def _read_ahead(self, rows: np.ndarray, out: np.ndarray) -> None:
        """Read sequentially, and copy the requested rows."""
        done = 0
        while done < len(rows):
            block = self._block(int(rows[-1]) + 1)
            first = self._next - len(block)
            end = int(np.searchsorted(rows, self._next))
            out[done:end] = block[rows[done:end] - first]
            done = end

    def _block(self, end: int) -> np.ndarray:
        """The next rows, at most up to ``end``."""
        count = max(1, _BLOCK_BYTES // self._row_bytes)
        count = min(count, end - self._next)
        data = bytearray(count * self._row_bytes)
        view, filled = memoryview(data), 0
        while filled < len(data):
            read = self._stream.readinto(view[filled:])
            if not read:
                raise EOFError(f'ends after {self._next:,} rows')
            filled += read
        self._next += count
        if self._next == len(self):
            self._stream.read(1)  # compares the checksum
        return np.frombuffer(data, self.dtype).reshape(-1, *self.shape[1:])

    def _unpack(self) -> None:
        fresh = NpzRows(self._path, self._key)
        file: Any = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            while fresh._next < len(fresh):
                file.write(fresh._block(len(fresh)).data)
        except ZIP_ERRORS as error:
            file.close()
            raise self._damaged(error) from error
        finally:
            fresh.close()
        self.close()
        self._unpacked = file

    def _read_unpacked(
        self, file: BinaryIO, rows: np.ndarray, out: np.ndarray
    ) -> None:
        """Read runs of consecutive rows by random access."""
        starts = np.flatnonzero(np.diff(rows, prepend=rows[0] - 2) != 1)
        ends = np.append(starts[1:], len(rows))
        target: Any = memoryview(out.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
        size = self._row_bytes
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            file.seek(int(rows[start]) * size)
            file.readinto(target[start * size : end * size])  # type: ignore[attr-defined]

    def _damaged(self, error: Exception) -> CorruptFileError:
        return CorruptFileError(
            f'{self._path}[{self._key}]: damaged ({error})'
        )


def stream_npz(
    path: str | os.PathLike,
    streams: Callable[[str, tuple[int, ...]], bool],
    keys: Iterable[str] | None = None,
    allow_objects: bool = False,
) -> dict[str, Any]:
    """Read an ``.npz`` file, large arrays as :class:`NpzRows`.

    Args:
        path: The file.
        streams: Whether to stream an array, by name and shape.
        keys: See :func:`~aios.utils.safe_io.load_npz`.
        allow_objects: See :func:`~aios.utils.safe_io.load_npz`.

    Returns:
        Arrays, or :class:`NpzRows`, by name.

    Raises:
        FileNotFoundError: There is no such file.
        UnsafeFileError: See :func:`~aios.utils.safe_io.load_npz`.
        CorruptFileError: See :func:`~aios.utils.safe_io.load_npz`.
    """
    wanted = None if keys is None else set(keys)
    with _open_zip(path) as archive:
        names = [
            name
            for name in _members(archive, path)
            if wanted is None or name in wanted
        ]
    left: dict[str, NpzRows] = {}
    for name in names:
        try:
            rows = NpzRows(path, name)
        except CorruptFileError:
            continue  # load_npz raises below
        if rows.readable() and streams(name, rows.shape):
            left[name] = rows
        else:
            rows.close()
    rest = [name for name in names if name not in left]
    loaded = load_npz(path, rest, allow_objects)
    return {name: left.get(name, loaded.get(name)) for name in names}
