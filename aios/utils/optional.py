# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Import optional packages."""

from __future__ import annotations

import importlib
import logging
import os
from functools import cache
from types import ModuleType


@cache
def can_import(module: str) -> bool:
    """Whether an optional package can be used.

    If it is installed but fails to load, the reason is logged once.

    Args:
        module: Name of the module.
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


def import_optional(module: str, package: str, needed_by: str) -> ModuleType:
    """Import a module that an option needs.

    Args:
        module: Name of the module.
        package: Name of the package for ``pip install``.
        needed_by: The option, as on the command line.

    Raises:
        ValueError: If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(
            f'{needed_by} needs {package}: pip install {package}'
        ) from error


def disable_onnx_telemetry() -> None:
    """Let ONNX Runtime send no reports to Microsoft.

    It must be called before the import, which otherwise stores an id in the
    user's cache.  ``ORT_DISABLE_TELEMETRY=0`` allows both.
    """
    os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')
