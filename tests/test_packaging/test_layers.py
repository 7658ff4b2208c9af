# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Imports point down, and the page on the design names every room."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINT = """
import sys
from importlinter.cli import lint_imports
sys.exit(lint_imports('pyproject.toml', no_cache=True))
"""


def test_imports_point_down():
    """The contracts of pyproject.toml."""
    pytest.importorskip('importlinter')
    # In a process of its own: a thread that draws its progress on the
    # terminal is no friend of pytest's, who takes the terminal's place.
    done = subprocess.run(
        [sys.executable, '-c', LINT], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_room_is_on_the_page():
    page = (ROOT / 'docs/en/notes/design.md').read_text()
    rooms = {
        path.parent.name if path.name == '__init__.py' else path.stem
        for pattern in ('*.py', '*/__init__.py')
        for path in (ROOT / 'aios').glob(pattern)
    } - {'aios', '__main__'}
    assert {'models', 'registry'} <= rooms
    assert [
        room for room in sorted(rooms) if f'`aios.{room}`' not in page
    ] == []
