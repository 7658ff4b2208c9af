# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Scripts, code of pages, and Python in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

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


def page_blocks(page: str | Path, language: str = 'python') -> list[str]:
    """Blocks of code of a page.

    Args:
        page: Where it is, from the root of the project.
        language: What the blocks are marked with.
    """
    pattern = rf'```{language}\n(.*?)```'
    return re.findall(pattern, (ROOT / page).read_text(), re.DOTALL)


def run_python(*args: object, cwd: Path = ROOT, **env: str) -> str:
    """What another Python prints; it must end well.

    Args:
        args: Its arguments, such as ``'-c', code``.
        cwd: Where it starts.
        env: Variables of its environment, beside those of this process.
    """
    done = subprocess.run(
        [sys.executable, *map(str, args)],
        cwd=cwd,
        env=os.environ | env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
