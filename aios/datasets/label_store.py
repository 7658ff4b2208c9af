# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Label arrays on disk, memory-mapped and shared by all workers.

A HumanData file is compressed, so each process would hold its own unpacked
copy.  The store unpacks it once into one ``.npy`` file per column.  Every
process maps these read-only, and the page cache holds a single copy.

The name of a store depends on the state of the source file, the options and
the version of the code, so a stale store is never opened.  It is built in a
temporary folder and renamed, so it is complete or absent even if several
processes build it concurrently.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from aios.utils.cache import cache_folder
from aios.utils.digests import digest
from aios.utils.json_record import read_record, write_record
from aios.utils.locking import file_lock

from .label_options import LabelTable

STORE_VERSION = 12
"""Increase it when the meaning of a column changes."""

_META = 'meta.json'
_SUFFIX = '.labels'
_ABANDONED = 86400  # seconds


def file_signature(path: str | os.PathLike) -> dict[str, Any]:
    """Identify the state of a file without reading all of it.

    Returns:
        Path, size, modification time in ns, and a hash of the last 64 KiB
        (the end of an ``.npz`` lists the checksums of all its members).
    """
    stat = os.stat(path)
    with open(path, 'rb') as file:
        file.seek(max(0, stat.st_size - (1 << 16)))
        tail = hashlib.sha256(file.read()).hexdigest()
    return {
        'path': os.path.abspath(path),
        'size': stat.st_size,
        'mtime_ns': stat.st_mtime_ns,
        'tail': tail,
    }


class LabelStore:
    """Read-only columns of a label table.

    Only the name of the folder is pickled; each worker maps the files itself.

    Args:
        folder: A folder written by :meth:`build`.
    """

    def __init__(self, folder: str | os.PathLike) -> None:
        self.folder = Path(folder)
        record = read_record(self.folder / _META, dict(info=dict))
        self.info: dict[str, Any] = record['info']
        self._columns: dict[str, np.ndarray] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {'folder': self.folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state['folder'])  # type: ignore[misc]

    def __contains__(self, name: str) -> bool:
        return (self.folder / f'{name}.npy').exists()

    def __getitem__(self, name: str) -> np.ndarray:
        """The column, mapped into memory.

        Raises:
            KeyError: If the store has no such column.
        """
        if name not in self._columns:
            path = self.folder / f'{name}.npy'
            if not path.exists():
                raise KeyError(f'{self.folder} has no column {name!r}')
            try:
                column = np.load(path, mmap_mode='r', allow_pickle=False)
            except ValueError:  # empty arrays cannot be mapped
                column = np.load(path, allow_pickle=False)
            self._columns[name] = column
        return self._columns[name]

    def rows(self, name: str, start: int, end: int) -> np.ndarray:
        """A private copy of rows ``[start, end)`` of a column."""
        return np.array(self[name][start:end])

    @classmethod
    def open(
        cls,
        source: str | os.PathLike,
        options: Mapping[str, Any],
        build: Callable[[], LabelTable | Iterable[LabelTable]],
        cache_dir: str | os.PathLike | None = None,
    ) -> LabelStore:
        """Open the store of a file; build it first if necessary.

        Args:
            source: The annotation file.
            options: JSON-serializable options that change the labels.
            build: Creates the labels, at once or in blocks of persons; the
                ``info`` of the last block covers the whole file.
            cache_dir: Folder of the stores.  Default: ``.aios_cache`` beside
                the file or, if that is not writable, the user's cache
                (``$AIOS_CACHE``, ``~/.cache/aios``).

        Returns:
            The store.

        Raises:
            OSError: If no folder is writable.
        """
        signature = file_signature(source)
        identity = {
            'source': signature,
            'options': dict(options),
            'version': STORE_VERSION,
        }
        root = _writable_folder(source, cache_dir)
        folder = root / f'{Path(source).stem}-{digest(identity)}{_SUFFIX}'
        if not _is_intact(folder):
            with file_lock(folder.with_suffix('.lock')):
                if not _is_intact(folder):
                    shutil.rmtree(folder, ignore_errors=True)
                    _write(folder, identity, build())
                    _remove_stale(root, signature)
        return cls(folder)


def _is_intact(folder: Path) -> bool:
    """Whether a store exists and has all columns in full.

    Disks fail, and clusters delete single files that were not read for long.
    """
    try:
        store = LabelStore(folder)
        listed = read_record(folder / _META).get('columns', ())
        # Stores of earlier code do not list their columns.
        for name in {*listed, *(path.stem for path in folder.glob('*.npy'))}:
            store[name]
    except (OSError, EOFError, KeyError, TypeError, ValueError):
        return False
    return True


def _write(
    folder: Path,
    identity: dict[str, Any],
    built: LabelTable | Iterable[LabelTable],
) -> None:
    blocks = [built] if isinstance(built, LabelTable) else built
    temporary = folder.with_name(f'.{folder.name}.{uuid.uuid4().hex}.tmp')
    temporary.mkdir()
    try:
        info: dict[str, Any] = {}
        with contextlib.ExitStack() as stack:
            writers: dict[str, _ColumnWriter] = {}
            for block in blocks:
                for name, column in block.columns.items():
                    if name not in writers:
                        path = temporary / f'{name}.npy'
                        writers[name] = _ColumnWriter(path, column)
                        stack.callback(writers[name].close)
                    writers[name].append(column)
                info = block.info
        record = {**identity, 'info': info, 'columns': [*writers]}
        write_record(temporary / _META, record)
        # Another process may have written an identical folder first.
        with contextlib.suppress(OSError):
            os.rename(temporary, folder)
        if not (folder / _META).exists():
            raise OSError(f'cannot write the label store {folder}')
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    print_log(f'wrote labels to {folder}', logger='current')


class _ColumnWriter:
    """Writes an ``.npy`` file block by block.

    Args:
        path: The file.
        first: The first block; later blocks have its dtype and row shape.
    """

    def __init__(self, path: Path, first: np.ndarray) -> None:
        self.path = path
        self.dtype, self.shape = first.dtype, first.shape[1:]
        self.count = 0
        if self.dtype.hasobject:
            raise ValueError(f'{path.stem}: holds Python objects')
        self.file = open(path, 'wb')  # noqa: SIM115
        self._write_header()

    def _write_header(self) -> None:
        """Write the header; NumPy reserves space for any number of rows."""
        header = np.lib.format.header_data_from_array_1_0(
            np.empty((0, *self.shape), self.dtype)
        )
        header['shape'] = (self.count, *self.shape)
        np.lib.format.write_array_header_1_0(self.file, header)

    def append(self, block: np.ndarray) -> None:
        """Append rows."""
        if block.dtype != self.dtype or block.shape[1:] != self.shape:
            raise ValueError(
                f'{self.path.stem}: blocks must be {self.dtype} {self.shape} '
                f'per row, got {block.dtype} {block.shape}'
            )
        self.file.write(np.ascontiguousarray(block).data)
        self.count += len(block)

    def close(self) -> None:
        """Write the final number of rows and close the file."""
        self.file.seek(0)
        self._write_header()
        self.file.flush()
        os.fsync(self.file.fileno())  # before the folder gets its name
        self.file.close()


def _remove_stale(root: Path, source: Mapping[str, Any]) -> None:
    """Delete stores of earlier states of the same file, or earlier code.

    Processes that have mapped one can still read it.  Temporary folders of
    killed processes are deleted, too.
    """
    for path in root.glob(f'.*{_SUFFIX}.*.tmp'):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _ABANDONED:
                shutil.rmtree(path, ignore_errors=True)
    for meta in root.glob(f'*{_SUFFIX}/{_META}'):
        try:
            old = read_record(meta, dict(source=dict))
        except (OSError, ValueError):
            continue
        is_stale = (
            old['source'] != source or old.get('version', 0) < STORE_VERSION
        )
        if old['source']['path'] == source['path'] and is_stale:
            shutil.rmtree(meta.parent, ignore_errors=True)


def _writable_folder(
    source: str | os.PathLike, cache_dir: str | os.PathLike | None
) -> Path:
    if cache_dir is not None:
        candidates = [Path(cache_dir)]
    else:
        candidates = [Path(source).absolute().parent / '.aios_cache']
        with contextlib.suppress(OSError):  # a user without home folder
            candidates.append(cache_folder() / 'labels')
    error: OSError | None = None
    for folder in candidates:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                return folder
        except OSError as reason:
            error = reason
    names = ', '.join(str(folder) for folder in candidates)
    raise OSError(
        f'cannot write labels to any of {names}; set cache_dir'
    ) from error
