# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Reader of both formats of :func:`torch.save` without PyTorch's unpickler.

``torch.load(weights_only=True)`` sets arbitrary attributes of objects,
enlarges storages to any size, and in PyTorch < 2.6 can be made to execute
code (CVE-2025-32434).
"""

from __future__ import annotations

import io
import struct
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import UntypedStorage

from aios.utils.pickle_records import UnsafeFileError
from aios.utils.safe_pickle import Unpickler

from .records import (
    RECORDS,
    CheckpointBuilder,
    Storage,
    StorageType,
    make_record,
)

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_CHUNK = 16 << 20
_SYSTEM = ('sys', 'os', 'posix', 'nt')

Read = Callable[[], torch.Tensor]


def read_archive(path: Path, map_location: Any) -> tuple[Any, set[str]]:
    """Read a file of :func:`torch.save` as data.

    Args:
        path: The file.
        map_location: See :func:`torch.load`.

    Returns:
        Its content, and the types of ignored objects.

    Raises:
        UnsafeFileError: It is not only data, or needs memory or time out of
            proportion to its size.
        Exception: The file is damaged.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return _ZipReader(archive, path, map_location).read()
    with path.open('rb') as stream:
        return _StreamReader(stream, path, map_location).read()


class _Reader:
    """Common part of both formats: types, storages, devices."""

    def __init__(self, map_location: Any) -> None:
        self.map_location = map_location
        self.ignored: set[str] = set()
        self._memory: dict[str, UntypedStorage] = {}

    def unpickler(self, stream: BinaryIO) -> Unpickler:
        """Unpickler with persistent ids of storages."""
        unpickler = Unpickler(
            stream, records=RECORDS, find_other=self._find_other
        )
        unpickler.persistent_load = self._find_storage
        return unpickler

    def build(self, unpickler: Unpickler, raw: Any) -> Any:
        """Content of the file."""
        consumed = unpickler.source.consumed
        return CheckpointBuilder(consumed, (torch.dtype,))(raw)

    def _find_other(self, module: str, name: str) -> Any:
        # torch.save writes protocol 2, with names of Python 2.
        if (module, name) in NAME_MAPPING:
            module, name = NAME_MAPPING[module, name]
        module = IMPORT_MAPPING.get(module, module)
        if (module, name) in RECORDS:
            return RECORDS[module, name]
        if module.partition('.')[0] in _SYSTEM:
            raise UnsafeFileError(f'it refers to {module}.{name}')
        self.ignored.add(f'{module}.{name}')
        return make_record(module, name)

    def _find_storage(self, key: Any) -> Storage:
        kind, storage_type, name, location, count, *view = key
        if kind != 'storage' or any(view) or type(count) is not int:
            raise ValueError(f'unknown storage type {kind!r}')
        if not issubclass(storage_type, StorageType) or count < 0:
            raise ValueError('a storage without a type')
        dtype, name = storage_type.dtype, str(name)
        num_bytes = count * dtype.itemsize
        read = self.locate(name, num_bytes)

        def memory() -> UntypedStorage:
            if name not in self._memory:
                self._memory[name] = _move(
                    read().untyped_storage(), str(location), self.map_location
                )
            return self._memory[name]

        return Storage(dtype, num_bytes, memory)

    def locate(self, name: str, num_bytes: int) -> Read:
        """Check the size of a storage and return a function to read it."""
        raise NotImplementedError


def _move(
    storage: UntypedStorage, location: str, map_location: Any
) -> UntypedStorage:
    """Move a storage as :func:`torch.load` does."""
    if callable(map_location):
        moved = map_location(storage, location)
        if moved is not None:
            return getattr(moved, '_untyped_storage', moved)
        map_location = None
    if isinstance(map_location, dict):
        map_location = map_location.get(location, location)
    device = torch.device(map_location or location)
    if device.type == 'cpu':
        return storage
    data = torch.empty(0, dtype=torch.uint8).set_(storage)
    return data.to(device).untyped_storage()


class _ZipReader(_Reader):
    """The format since PyTorch 1.6: a ZIP archive with a file per storage."""

    def __init__(
        self, archive: zipfile.ZipFile, path: Path, map_location: Any
    ) -> None:
        super().__init__(map_location)
        self._archive = archive
        self._members = _check_members(archive, path)
        roots = [
            name.removesuffix('data.pkl')
            for name in self._members
            if name.endswith('/data.pkl')
        ]
        if len(roots) != 1:
            raise ValueError('archive without data.pkl')
        (self._root,) = roots
        order = self._members.get(f'{self._root}byteorder')
        if order is not None and archive.read(order) != b'little':
            raise ValueError('byte order differs from this machine')

    def read(self) -> tuple[Any, set[str]]:
        """Content, and ignored types."""
        data = self._archive.read(self._members[f'{self._root}data.pkl'])
        unpickler = self.unpickler(io.BytesIO(data))
        return self.build(unpickler, unpickler.load()), self.ignored

    def locate(self, name: str, num_bytes: int) -> Read:
        """See :meth:`_Reader.locate`."""
        member = self._members.get(f'{self._root}data/{name}')
        size = 0 if member is None else member.file_size
        if size != num_bytes:
            raise ValueError(
                f'storage {name} has {size:,} bytes, expected {num_bytes:,}'
            )

        def read() -> torch.Tensor:
            if member is None:
                return torch.empty(0, dtype=torch.uint8)
            with self._archive.open(member) as stream:
                return _read_exactly(stream, num_bytes)

        return read


def _check_members(
    archive: zipfile.ZipFile, path: Path
) -> dict[str, zipfile.ZipInfo]:
    """Members by name; rejects compressed and overlapping members."""
    members = {info.filename: info for info in archive.infolist()}
    if any(
        info.compress_type != zipfile.ZIP_STORED
        or info.compress_size != info.file_size
        for info in members.values()
    ):
        raise ValueError('compressed archive, which torch.save does not write')
    total = sum(info.file_size for info in archive.infolist())
    if total > path.stat().st_size:
        raise UnsafeFileError(f'its members declare {total:,} bytes')
    return members


class _StreamReader(_Reader):
    """The format before PyTorch 1.6: pickles, followed by storages."""

    def __init__(
        self, stream: BinaryIO, path: Path, map_location: Any
    ) -> None:
        super().__init__(map_location)
        self._stream = stream
        self._size = path.stat().st_size
        self._offsets: dict[str, int] = {}
        self._sizes: dict[str, int] = {}

    def read(self) -> tuple[Any, set[str]]:
        """Content, and ignored types."""
        if self.unpickler(self._stream).load() != _MAGIC_NUMBER:
            raise ValueError('not a torch.save file')
        if self.unpickler(self._stream).load() != _PROTOCOL:
            raise ValueError('unknown format version')
        self.unpickler(self._stream).load()  # byte order, sizes of types
        unpickler = self.unpickler(self._stream)
        raw = unpickler.load()
        for name in self.unpickler(self._stream).load():
            self._skip(name)
        return self.build(unpickler, raw), self.ignored

    def _skip(self, name: str) -> None:
        """Record the offset of a storage and skip it."""
        (count,) = struct.unpack('<q', self._stream.read(8))
        size = self._sizes[name]
        offset = self._stream.tell()
        if count < 0 or offset + size > self._size:
            raise ValueError(f'storage {name} is not complete')
        self._offsets[name] = offset
        self._stream.seek(size, io.SEEK_CUR)

    def locate(self, name: str, num_bytes: int) -> Read:
        """See :meth:`_Reader.locate`."""
        if self._sizes.setdefault(name, num_bytes) != num_bytes:
            raise ValueError(f'storage {name} has two sizes')

        def read() -> torch.Tensor:
            self._stream.seek(self._offsets[name])
            return _read_exactly(self._stream, num_bytes)

        return read


def _read_exactly(stream: Any, num_bytes: int) -> torch.Tensor:
    """Read bytes, whose number was checked against the file size."""
    data = torch.empty(num_bytes, dtype=torch.uint8)
    view, filled = memoryview(data.numpy().data), 0
    while filled < num_bytes:
        count = stream.readinto(view[filled : filled + _CHUNK])
        if not count:
            raise EOFError(f'a storage ends after {filled:,} bytes')
        filled += count
    return data
