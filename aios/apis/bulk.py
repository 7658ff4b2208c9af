# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Process many videos in several processes that may die (docs/en/scale.md).

Processes communicate through the output folder only, on one machine or on a
shared file system.  A process that works on an item holds a file lock, which
the operating system releases when the process dies.  So no item is processed
twice at the same time, and the item of a killed process is taken over by the
others, or by the next run.

Files of the folder::

    bulk.json          list of items
    manifest.jsonl     state and results, a line per item
    status/NUMBER.json state of a finished item
    status/NUMBER.lock lock of an item in progress
    results/NAME/      results of an item
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aios.utils.json_record import read_record, write_record
from aios.utils.locking import LOCK_NAME, file_lock
from aios.utils.run_folder import begin_run
from aios.utils.safe_io import (
    CorruptFileError,
    atomic_write,
    remove_half_written,
)

LIST, MANIFEST = 'bulk.json', 'manifest.jsonl'


class ItemFailure(Exception):
    """An item cannot be processed; the others can."""


@dataclass(frozen=True)
class BulkItem:
    """An item of the list.

    Args:
        name: Its folder in the results, relative.
        path: Its path.
    """

    name: str
    path: str


Work = Callable[[BulkItem, Path], Mapping[str, Any]]


class BulkRun:
    """A list of items, each processed once by one of several processes.

    Args:
        out_dir: Output folder, made by the first process. Items and settings
            of later processes and runs must be the same.
        items: Items to process.
        settings: Other settings that the results depend on.
        rank: Number of this process, which determines its first item.
        size: Number of processes.
        retry_failed: Retry items that failed in an earlier run.
        poll_seconds: Interval of checking the locks of other processes once
            no other items are left.

    Raises:
        FileExistsError: If the folder holds other files.
        ValueError: If there are no items, two have the same name, or the
            folder belongs to another list or other settings.
    """

    def __init__(
        self,
        out_dir: str | os.PathLike,
        items: Sequence[BulkItem],
        settings: Mapping[str, Any] | None = None,
        *,
        rank: int = 0,
        size: int = 1,
        retry_failed: bool = False,
        poll_seconds: float = 2.0,
    ) -> None:
        self.root = Path(out_dir)
        self.items = list(items)
        self.rank, self.size = rank, size
        self.retry_failed = retry_failed
        self.poll_seconds = poll_seconds
        names = Counter(item.name for item in items)
        if not names or max(names.values()) > 1:
            raise ValueError(
                'items must not be empty and must have distinct names, got '
                f'{names}'
            )
        self._join(dict(settings or {}))

    def _join(self, settings: dict[str, Any]) -> None:
        """Make the folder, or check that items and settings are the same."""
        self.root.mkdir(parents=True, exist_ok=True)
        wanted = dict(settings=settings, items=list(map(asdict, self.items)))
        with file_lock(self.root / LOCK_NAME):
            if (self.root / LIST).exists():
                _read_list(self.root)
            begin_run(self.root, LIST, wanted, resume=True)
        (self.root / 'status').mkdir(exist_ok=True)

    def work(self, do: Work) -> list[dict[str, Any]]:
        """Process items until all are finished by this or other processes.

        Args:
            do: Processes an item and writes into the given folder, which may
                hold files of an earlier try. Returns entries of the manifest.
                The item is locked meanwhile; errors other than
                :class:`ItemFailure` end the run.

        Returns:
            The states of all items, see :func:`read_states`.
        """
        tried: set[int] = set()
        while True:
            busy = False
            for number in self._order():
                if number in tried or self._is_finished(number):
                    continue
                lock = _status_file(self.root, number, 'lock')
                with file_lock(lock, 0) as mine:
                    if not mine:
                        busy = True
                    # Another process may have finished it a moment ago.
                    elif not self._is_finished(number):
                        tried.add(number)
                        self._do(number, do)
            self.write_manifest()
            if not busy:
                return read_states(self.root)
            time.sleep(self.poll_seconds)

    def _order(self) -> list[int]:
        """Numbers of the items; processes start at different ones."""
        count = len(self.items)
        begin = count * self.rank // self.size
        return [(begin + i) % count for i in range(count)]

    def _is_finished(self, number: int) -> bool:
        state = _read_state(self.root, number).get('state')
        return state == 'done' or (state == 'failed' and not self.retry_failed)

    def _do(self, number: int, do: Work) -> None:
        item, start = self.items[number], time.time()
        folder = self.root / 'results' / item.name
        folder.mkdir(parents=True, exist_ok=True)
        remove_half_written(folder, recursive=True)
        state: dict[str, Any] = dict(state='done', worker=self.rank)
        try:
            state |= do(item, folder)
        except ItemFailure as error:
            state |= dict(state='failed', error=str(error))
        state['seconds'] = round(time.time() - start, 3)
        write_record(_status_file(self.root, number, 'json'), state)

    def write_manifest(self) -> None:
        """Write the states of all items atomically."""
        lines = [json.dumps(state) + '\n' for state in read_states(self.root)]
        with atomic_write(self.root / MANIFEST, overwrite=True) as stream:
            stream.write(''.join(lines).encode())


def read_states(out_dir: str | os.PathLike) -> list[dict[str, Any]]:
    """Read the states of the items of a run.

    Args:
        out_dir: Folder of the run.

    Returns:
        For each item in order ``name``, ``path``, ``state`` (``'todo'``,
        ``'done'`` or ``'failed'``) and entries of its result.

    Raises:
        FileNotFoundError: If there is no run.
        ValueError: If one of its files is damaged.
    """
    root = Path(out_dir)
    if not (root / LIST).is_file():
        raise FileNotFoundError(f'{root}: has no {LIST}')
    items = _read_list(root)['items']
    return [
        item | dict(state='todo') | _read_state(root, number)
        for number, item in enumerate(items)
    ]


def _status_file(root: Path, number: int, suffix: str) -> Path:
    return root / f'status/{number:06d}.{suffix}'


def _read_list(root: Path) -> dict[str, Any]:
    record = read_record(root / LIST, dict(items=list, settings=dict))
    for number, item in enumerate(record['items']):
        if not (
            isinstance(item, dict)
            and isinstance(item.get('name'), str)
            and isinstance(item.get('path'), str)
        ):
            raise CorruptFileError(
                f'{root / LIST}: damaged (items[{number}] must have strings '
                f"'name' and 'path', got {item!r:.80})"
            )
    return record


def _read_state(root: Path, number: int) -> dict[str, Any]:
    path = _status_file(root, number, 'json')
    try:
        record = read_record(path, dict(state=str))
    except FileNotFoundError:
        return {}
    except CorruptFileError as error:
        raise CorruptFileError(
            f'{error}; delete it to process the item again'
        ) from error
    return record
