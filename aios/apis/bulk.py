# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Many videos, shared by processes that may die (docs/en/scale.md).

Processes need not know each other: they meet in the output folder, on one
machine or on a shared file system.  A process that works on an item holds a
lock on a file, which the operating system takes away from it when it dies,
however it dies.  So an item is never worked on twice at the same time, and
one whose process was killed is taken over by the others, or by the next run.

In the folder::

    bulk.json          the list
    manifest.jsonl     a line per item: how far it is, what was found
    status/NUMBER.json what is finished
    status/NUMBER.lock there, locked while a process works on it
    results/NAME/      what the work writes
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
    """One item cannot be worked on; the others can."""


@dataclass(frozen=True)
class BulkItem:
    """Something to work on.

    Args:
        name: Its folder in the results, relative.
        path: Where it is.
    """

    name: str
    path: str


Work = Callable[[BulkItem, Path], Mapping[str, Any]]


class BulkRun:
    """A list of items that several processes work on, each item once.

    Args:
        out_dir: Folder where the processes meet. It is made by the first
            one; later ones, also of later runs, must ask for the same.
        items: What is to be done.
        settings: What the results depend on besides the items.
        rank: Number of this process, which only says where in the list it
            begins.
        size: Number of processes.
        retry_failed: Try again what failed in an earlier run.
        poll_seconds: While others work on what is left, see this often
            whether they have died.

    Raises:
        FileExistsError: If the folder holds something else.
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
                f'items must be some, with different names, got {names}'
            )
        self._join(dict(settings or {}))

    def _join(self, settings: dict[str, Any]) -> None:
        """Make the folder, or see that it is that of the same work."""
        self.root.mkdir(parents=True, exist_ok=True)
        wanted = dict(settings=settings, items=list(map(asdict, self.items)))
        with file_lock(self.root / LOCK_NAME):
            if (self.root / LIST).exists():
                _read_list(self.root)
            begin_run(self.root, LIST, wanted, resume=True)
        (self.root / 'status').mkdir(exist_ok=True)

    def work(self, do: Work) -> list[dict[str, Any]]:
        """Work until every item of the list is finished, by whomever.

        Args:
            do: Works on an item; what it writes goes to the given folder,
                where an earlier try may have left something. Returns what
                the manifest shall say. Whoever calls it holds the item's
                lock; errors other than :class:`ItemFailure` end the run.

        Returns:
            The states of all items, see :func:`read_states`.
        """
        tried: set[int] = set()
        while True:
            busy = False
            for number in self._order():
                if number in tried or self._is_finished(number):
                    continue
                with file_lock(self._file(number, 'lock'), 0) as mine:
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
        """Numbers of the items; every process begins somewhere else."""
        count = len(self.items)
        begin = count * self.rank // self.size
        return [(begin + i) % count for i in range(count)]

    def _file(self, number: int, suffix: str) -> Path:
        return _status_file(self.root, number, suffix)

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
        write_record(self._file(number, 'json'), state)

    def write_manifest(self) -> None:
        """Write down how far everything is, all lines at once."""
        lines = [json.dumps(state) + '\n' for state in read_states(self.root)]
        with atomic_write(self.root / MANIFEST, overwrite=True) as stream:
            stream.write(''.join(lines).encode())


def read_states(out_dir: str | os.PathLike) -> list[dict[str, Any]]:
    """How far a run is.

    Args:
        out_dir: Of the run.

    Returns:
        For each item in order ``name``, ``path``, ``state`` (``'todo'``,
        ``'done'`` or ``'failed'``) and what is known of its result.

    Raises:
        FileNotFoundError: If there is no run.
        ValueError: If one of its files is damaged.
    """
    root = Path(out_dir)
    if not (root / LIST).is_file():
        raise FileNotFoundError(f'{root}: there is no {LIST}')
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
                f'{root / LIST}: damaged (items[{number}] must have texts '
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
            f'{error}; remove it, and the item is done again'
        ) from error
    return record
