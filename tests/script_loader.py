# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Helpers that load scripts, read code blocks of pages and run Python."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).parents[1]


def load_script(path: str | Path) -> ModuleType:
    """Import a script as a new module, without running its command.

    Args:
        path: Path relative to the project root, such as ``'tools/train.py'``.
    """
    path = ROOT / path
    spec = importlib.util.spec_from_file_location(f'script_{path.stem}', path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def load_main(path: str | Path) -> Callable[..., Any]:
    """``main`` of a script that uses MMEngine, as if in a new process.

    Args:
        path: See :func:`load_script`.
    """
    module = load_script(path)

    def run(*args: object) -> Any:
        from mmengine.logging import MessageHub, MMLogger

        from aios.visualization.local_visualizer import WholeBodyVisualizer

        # They are kept by name, with the folders of an earlier run.
        for kind in (WholeBodyVisualizer, MMLogger, MessageHub):
            kind._instance_dict.clear()
        return module.main([*map(str, args)])

    return run


def page_blocks(page: str | Path, language: str = 'python') -> list[str]:
    """Code blocks of a page.

    Args:
        page: Path relative to the project root.
        language: Language tag of the blocks.
    """
    pattern = rf'```{language}\n(.*?)```'
    return re.findall(pattern, (ROOT / page).read_text(), re.DOTALL)


def run_python(*args: object, cwd: Path = ROOT, **env: str) -> str:
    """Output of another Python process, which must succeed.

    Args:
        args: Command-line arguments, such as ``'-c', code``.
        cwd: Working directory.
        env: Additional environment variables.
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
