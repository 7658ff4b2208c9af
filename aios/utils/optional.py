# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Packages that make something faster and may be missing."""

from __future__ import annotations

import importlib
import logging
from functools import cache

__all__ = ['can_import']


@cache
def can_import(module: str) -> bool:
    """Whether an optional package can be used.

    If it is installed but fails to load, the reason is logged, once.

    Args:
        module: Its name.
    """
    try:
        importlib.import_module(module)
    except Exception as error:  # a broken installation raises many kinds
        absent = isinstance(error, ModuleNotFoundError)
        if not (absent and error.name == module):  # type: ignore[attr-defined]
            from mmengine.logging import print_log

            print_log(
                f'{module} is installed but cannot be used: '
                f'{type(error).__name__}: {error}',
                logger='current',
                level=logging.WARNING,
            )
        return False
    return True
