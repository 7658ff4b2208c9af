# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Output folders of resumable runs.

A JSON file in the folder, the record, holds the settings.  A resumed run must
have the same settings.  See :mod:`aios.utils.locking` for concurrent runs, and
:mod:`aios.utils.processes` for the processes of a run.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from .json_record import plain_number, read_record, write_record
from .locking import is_occupied


class OtherSettingsError(ValueError):
    """A folder holds results that were made with other settings."""


def begin_run(
    folder: Path,
    record: str,
    settings: Mapping[str, Any],
    *,
    resume: bool = False,
    overwrite: bool = False,
    clear: Callable[[], object] = lambda: None,
    compared: Sequence[str] | None = None,
) -> bool:
    """Write the record of a new run, or check that the old run may continue.

    Args:
        folder: Folder of the run; empty or missing.
        record: File name of the record, relative to the folder.
        settings: Content of the record, JSON values.
        resume: Continue an earlier run, if there is one.
        overwrite: Replace the results of an earlier run, unless ``resume``.
        clear: Function that removes these results.
        compared: Names of the settings that must not change; default: all.

    Returns:
        Whether an earlier run continues.

    Raises:
        FileExistsError: If the folder is not empty.
        OtherSettingsError: If the earlier run had other settings.
        CorruptFileError: If the record is damaged.
    """
    path = folder / record
    exists = path.is_file()
    if exists and resume:
        _check_same(folder, read_record(path), settings, compared)
        return True
    if is_occupied(folder) and (resume or not overwrite):
        raise FileExistsError(
            f'{folder}: not empty; choose another folder'
            + (
                ', --resume (resume=True) to continue an interrupted run, or '
                '--overwrite (overwrite=True) to replace its results'
                if exists
                else f' (there is no {record} of an earlier run)'
            )
        )
    if exists:
        clear()
    write_record(path, settings)
    return False


def _check_same(
    folder: Path,
    earlier: Mapping[str, Any],
    settings: Mapping[str, Any],
    compared: Sequence[str] | None,
) -> None:
    now = json.loads(json.dumps(settings, default=plain_number))
    then = earlier
    if compared is not None:
        then = {name: then.get(name) for name in compared}
        now = {name: now.get(name) for name in compared}
    changes = list(islice(_changes(then, now), 3))
    if changes:
        raise OtherSettingsError(
            f'{folder}: was written with other settings '
            f'({"; ".join(changes)}); choose another folder, or replace its '
            'content (--overwrite, --restart)'
        )


def _changes(then: Any, now: Any, name: str = '') -> Iterator[str]:
    if isinstance(then, dict) and isinstance(now, dict):
        for key in sorted({*then, *now}):
            inner = f'{name}.{key}' if name else key
            yield from _changes(then.get(key), now.get(key), inner)
    elif isinstance(then, list) and isinstance(now, list):
        if len(then) != len(now):
            yield f'number of {name}: then {len(then)}, now {len(now)}'
        for i, pair in enumerate(zip(then, now, strict=False)):
            yield from _changes(*pair, f'{name}[{i}]')
    elif then != now:
        yield f'{name}: then {then!r:.200}, now {now!r:.200}'
