# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Check options with a fixed set of values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


def check_choice(name: str, value: Any, allowed: Iterable[Any]) -> None:
    """Reject a value that is not allowed.

    Args:
        name: Name of the option.
        value: Given value.
        allowed: Allowed values.

    Raises:
        ValueError: If the value is not allowed; the message lists those that
            are.
    """
    choices = tuple(allowed)
    if value not in choices:
        raise ValueError(f'{name} must be one of {choices}, got {value!r}')
