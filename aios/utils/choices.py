# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Options with a few allowed values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def check_choice(name: str, value: Any, allowed: Iterable[Any]) -> None:
    """Refuse a value that is not allowed.

    Args:
        name: Of the option.
        value: What was given.
        allowed: All that may be given.

    Raises:
        ValueError: If it is none of them; the message lists them.
    """
    choices = tuple(allowed)
    if value not in choices:
        raise ValueError(f'{name} must be one of {choices}, got {value!r}')
