# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Modules of files that are in no package: tools, demos, set-up."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

__all__ = ['load_script']

ROOT = Path(__file__).parents[1]


def load_script(path: str | Path) -> ModuleType:
    """Read a script anew, without running its command.

    Args:
        path: Where it is, from the root of the project, such as
            ``'tools/train.py'``.
    """
    path = ROOT / path
    spec = importlib.util.spec_from_file_location(f'script_{path.stem}', path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module
