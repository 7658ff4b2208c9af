# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Imports point down, and the page on the design names every room."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_imports_point_down(monkeypatch, capsys):
    """The contracts of pyproject.toml."""
    cli = pytest.importorskip('importlinter.cli')
    monkeypatch.chdir(ROOT)
    code = cli.lint_imports(str(ROOT / 'pyproject.toml'), no_cache=True)
    assert code == 0, capsys.readouterr().out


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
