# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Mutations of bytes and of nested contents."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

import numpy as np

HOSTILE_VALUES: tuple[Any, ...] = (
    *(None, True, -1, 0, 2**31, -(2**63), 2**70, 1e308, -1e-308),
    *(float('nan'), float('inf'), '', 'x' * 5000, '\0', '../../etc/passwd'),
    *('/dev/zero', '\ud800', '💀', 'subprocess.getoutput', b'\xff', [], {}),
    *([[]], [None], {'': None}, [[1], [1, 2]], ['1', 2], np.zeros((0, 3))),
    *(np.array(None), np.array([np.nan]), np.array(['a']), np.zeros((2, 2))),
    np.array([{}], dtype=object),
)
_DTYPES = ('u1', 'i8', 'f2', 'f8', 'c8', '?', 'U3', 'O')


def mutate_bytes(data: bytes, random: Random) -> bytes:
    """Damage a file in one to four places.

    Args:
        data: Content of a valid file.
        random: Source of the choices.
    """
    content = bytearray(data)
    for _ in range(random.randint(1, 4)):
        if content:
            _BYTES[random.randrange(len(_BYTES))](content, random)
    return bytes(content)


def _place(content: bytearray, random: Random) -> int:
    """A position; headers are hit more often than data."""
    size = len(content)
    return random.randrange(min(size, random.choice((32, 512, size))))


def _truncate(content: bytearray, random: Random) -> None:
    del content[random.randrange(len(content)) :]


def _flip(content: bytearray, random: Random) -> None:
    for _ in range(random.randint(1, 8)):
        content[_place(content, random)] ^= 1 << random.randrange(8)


def _fill(content: bytearray, random: Random) -> None:
    start = _place(content, random)
    stop = min(len(content), start + random.choice((1, 2, 4, 8)))
    content[start:stop] = (stop - start) * random.choice((b'\0', b'\xff'))


def _repeat(content: bytearray, random: Random) -> None:
    start = _place(content, random)
    piece = content[start : start + random.randint(1, 64)]
    content[start:start] = random.randint(1, 20) * piece


def _drop(content: bytearray, random: Random) -> None:
    start = _place(content, random)
    del content[start : start + random.randint(1, 64)]


_BYTES = (_truncate, _flip, _flip, _fill, _repeat, _drop)


def mutate_value(value: Any, random: Random) -> Any:
    """Mutate a nested content of dictionaries, lists and arrays.

    Args:
        value: Valid content; it is not modified.
        random: Source of the choices.

    Returns:
        A copy in which something is hostile, missing, renamed, of another
        type or of another size.
    """
    # Deeper values are mutated more often, as most relevant fields are leaves.
    if isinstance(value, Mapping) and value and random.random() < 0.85:
        return _mutate_one_item(dict(value), random)
    if isinstance(value, (list, tuple)) and value and random.random() < 0.8:
        items = list(value)
        place = random.randrange(len(items))
        items[place] = mutate_value(items[place], random)
        return type(value)(items)
    change = random.choice((_replace, _replace, _resize, _nest))
    return change(value, random)


def _mutate_one_item(content: dict, random: Random) -> dict:
    key = random.choice(list(content))
    what = random.random()
    if what < 0.7:
        content[key] = mutate_value(content[key], random)
    elif what < 0.8:
        del content[key]
    elif what < 0.9:
        content[f'{key}_'] = content.pop(key)
    else:
        other = random.choice(list(content))
        content[key], content[other] = content[other], content[key]
    return content


def _replace(value: Any, random: Random) -> Any:
    return random.choice(HOSTILE_VALUES)


def _resize(value: Any, random: Random) -> Any:
    """Another size, or another type of numbers."""
    if isinstance(value, np.ndarray):
        if random.random() < 0.5 and value.size:
            return value.astype(random.choice(_DTYPES))
        return value[None] if value.ndim == 0 else value[: len(value) // 2]
    if isinstance(value, (str, list, tuple)):
        return value[: len(value) // 2] if random.random() < 0.5 else value * 3
    if isinstance(value, (bool, int, float)):
        return random.choice((str(value), -value, value * 1e9, [value]))
    return _replace(value, random)


def _nest(value: Any, random: Random) -> Any:
    for _ in range(random.choice((1, 3, 2000))):
        value = {'a': value} if random.random() < 0.2 else [value]
    return value
