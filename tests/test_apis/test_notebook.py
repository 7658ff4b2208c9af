# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The notebook runs from top to bottom."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[2] / 'demo/aios_demo.ipynb'


@pytest.fixture
def displayed(monkeypatch) -> list[bytes]:
    """Images that were shown; IPython itself is not needed."""
    shown: list[bytes] = []
    module = types.ModuleType('IPython.display')
    module.Image = lambda data: data
    module.display = shown.append
    package = types.ModuleType('IPython')
    package.display = module
    monkeypatch.setitem(sys.modules, 'IPython', package)
    monkeypatch.setitem(sys.modules, 'IPython.display', module)
    return shown


def _cells() -> list[str]:
    notebook = json.loads(NOTEBOOK.read_text('utf-8'))
    assert notebook['nbformat'] == 4
    cells = [c for c in notebook['cells'] if c['cell_type'] == 'code']
    # Committed without what it showed.
    assert all(not cell['outputs'] for cell in cells)
    return [''.join(cell['source']) for cell in cells]


def test_cells_are_code() -> None:
    cells = _cells()
    assert len(cells) >= 8
    for number, cell in enumerate(cells):
        compile(cell, f'cell {number}', 'exec')


@pytest.mark.slow
def test_runs(displayed, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.delenv('AIOS_CHECKPOINT', raising=False)
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path))
    scope: dict = {'__name__': 'notebook'}
    for number, cell in enumerate(_cells()):
        exec(compile(cell, f'cell {number}', 'exec'), scope)
    assert len(displayed) == 4
    assert all(image.startswith(b'\x89PNG') for image in displayed)
    said = capsys.readouterr().out
    assert 'viewer.html' in said
    assert '2 persons, scores' in said  # one is behind another
    off = float(said.split('largest joint error ')[1].split()[0])
    assert off < 0.01
