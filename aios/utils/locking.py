# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""File locks that the operating system releases when a process dies."""

from __future__ import annotations

import errno
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .safe_io import is_half_written

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK_NAME = '.aios.lock'
_PATIENCE = 3.0  # seconds; processes of a killed run may end a bit later
_TICK = 0.1
_held: set[int] = set()


class FolderInUseError(OSError):
    """Another run uses a folder."""


def _close_inherited() -> None:
    """Close locks in a forked worker, which may outlive its parent."""
    while _held:
        os.close(_held.pop())


if fcntl is not None:
    os.register_at_fork(after_in_child=_close_inherited)


@contextmanager
def file_lock(
    path: str | os.PathLike, patience: float | None = None
) -> Iterator[bool]:
    """Lock a file, which exists only while the lock is used.

    Locks work between processes of a machine, and between machines if the
    file system supports it.  Without support, as on Windows and some network
    file systems, every process gets the lock.

    Args:
        path: The file. A symbolic link is rejected.
        patience: Seconds to wait for another process; ``None`` for no limit.

    Yields:
        Whether this process has the lock.

    Raises:
        OSError: If the file cannot be opened.
    """
    if fcntl is None:
        yield True
        return
    end = math.inf if patience is None else time.monotonic() + patience
    file = _open_locked(path, end)
    if file is None:
        yield False
        return
    _held.add(file)
    try:
        yield True
    finally:
        if file in _held:  # False in a forked child
            _held.remove(file)
            Path(path).unlink(missing_ok=True)
            os.close(file)


def _open_locked(path: str | os.PathLike, end: float) -> int | None:
    """Descriptor of the locked file; ``None`` after the time limit."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    while True:
        file = os.open(path, flags, 0o666)
        try:
            if _lock(file) and _is_named(path, file):
                return file
        except BaseException:
            os.close(file)
            raise
        os.close(file)
        if time.monotonic() >= end:
            return None
        time.sleep(_TICK)


def _lock(file: int) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            raise
    return True


def _is_named(path: str | os.PathLike, file: int) -> bool:
    """Whether the path still refers to the open file."""
    try:
        named = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(file))


@contextmanager
def folder_lock(folder: str | os.PathLike) -> Iterator[None]:
    """Lock a folder for one run.

    Args:
        folder: Made if missing, and removed then if it stays empty.

    Raises:
        FolderInUseError: If another run uses the folder.
        NotADirectoryError: If the path is not a folder.
    """
    folder = Path(folder)
    existed = folder.exists()
    if existed and not folder.is_dir():
        raise NotADirectoryError(f'{folder}: must be a folder, is a file')
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with file_lock(folder / LOCK_NAME, _PATIENCE) as mine:
            if not mine:
                raise FolderInUseError(
                    f'{folder}: another run is using this folder; wait for '
                    'it, or choose another folder'
                )
            yield
    finally:
        if not existed:
            with suppress(OSError):
                folder.rmdir()


def is_occupied(folder: Path) -> bool:
    """Whether a folder holds files other than locks and temporary ones."""
    return folder.is_dir() and any(
        path.name != LOCK_NAME and not is_half_written(path)
        for path in folder.iterdir()
    )
