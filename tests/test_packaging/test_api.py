# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What users see of the code: names, documentation, sizes."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest
from script_loader import load_script

ROOT = Path(__file__).parents[2]
INVENTORY = Path(__file__).with_name('public_api.json')
TOOL = 'tools/misc/list_api.py'
COMMAND = f'python {TOOL} --write {INVENTORY.relative_to(ROOT)}'
MOST_LINES = 500


@pytest.fixture(scope='module')
def tool() -> ModuleType:
    return load_script(TOOL)


def test_public_api_is_the_one_written_down(tool: ModuleType):
    now, then = (
        {f'{module}.{name}' for module, names in api.items() for name in names}
        for api in (tool.public_api(), json.loads(INVENTORY.read_text()))
    )
    changes = [f'- {name}' for name in sorted(then - now)]
    changes += [f'+ {name}' for name in sorted(now - then)]
    assert not changes, '\n'.join(
        ['the public API changed; if that is meant:', COMMAND, *changes]
    )


def test_public_names_exist(tool: ModuleType):
    for module, names in tool.public_api().items():
        try:
            there = importlib.import_module(module)
        except ModuleNotFoundError as error:
            # an optional package, such as triton
            assert not error.name.startswith('aios')
            continue
        missing = [name for name in names if not hasattr(there, name)]
        assert not missing, module


def _python_files(*folders: str) -> list[Path]:
    return [
        path
        for folder in folders
        for path in sorted((ROOT / folder).rglob('*.py'))
        if not {'.mim', 'third_party'} & set(path.parts)
    ]


def test_files_are_short_or_say_why_not():
    """A long one says ``Long because ...`` in its first lines."""
    files = _python_files('aios', 'configs', 'demo', 'tests', 'tools')
    assert len(files) > 300
    for path in files:
        lines = path.read_text().splitlines()
        if len(lines) > MOST_LINES:
            head = '\n'.join(lines[:15])
            assert 'Long because' in head, f'{path}: {len(lines)} lines'
