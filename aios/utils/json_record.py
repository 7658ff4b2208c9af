# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Small JSON files with the state of a program."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .safe_io import CorruptFileError, atomic_write

_MAX_BYTES = 1 << 28
_NAMES = {
    dict: 'an object',
    list: 'a list',
    str: 'text',
    bool: 'true or false',
}


def read_record(
    path: str | os.PathLike, fields: Mapping[str, type] | None = None
) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: The file.
        fields: Types of required fields, ``dict``, ``list``, ``str`` or
            ``bool``. Other fields are allowed.

    Returns:
        The object.

    Raises:
        FileNotFoundError: If there is no such file.
        CorruptFileError: If it is damaged; the message names the field.
    """
    path = Path(path)
    size = path.stat().st_size
    if size > _MAX_BYTES:
        raise CorruptFileError(f'{path}: damaged ({size:,} bytes)')
    try:
        record = json.loads(path.read_text('utf-8'))
    except (ValueError, RecursionError) as error:
        raise CorruptFileError(f'{path}: damaged ({error})') from error
    if not isinstance(record, dict):
        raise CorruptFileError(
            f'{path}: damaged (expected an object, got '
            f'{type(record).__name__})'
        )
    for name, kind in (fields or {}).items():
        if not isinstance(record.get(name), kind):
            raise CorruptFileError(
                f'{path}: damaged (field {name!r} must be {_NAMES[kind]}, got '
                f'{record.get(name)!r:.80})'
            )
    return record


def write_record(
    path: str | os.PathLike, record: Any, overwrite: bool = True
) -> None:
    """Write a JSON file atomically; NumPy scalars become numbers."""
    text = json.dumps(record, indent=1, sort_keys=True, default=plain_number)
    with atomic_write(path, overwrite) as stream:
        stream.write(text.encode())


def plain_number(value: Any) -> Any:
    """Number of a NumPy scalar, for ``default`` of :func:`json.dumps`.

    Raises:
        TypeError: If it is something else.
    """
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(
        f'{value!r:.80} of type {type(value).__name__} cannot be written as '
        'JSON'
    )
