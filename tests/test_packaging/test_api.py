# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What users see of the code: names, documentation, sizes."""

from __future__ import annotations

import ast
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from script_loader import load_script

ROOT = Path(__file__).parents[2]
INVENTORY = Path(__file__).with_name('public_api.json')
TOOL = 'tools/misc/list_api.py'
COMMAND = f'python {TOOL} --write {INVENTORY.relative_to(ROOT)}'
MOST_LINES = 500
LEAST_DOCUMENTED = 0.95


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


def test_inventory_is_read_from_files(tool: ModuleType, tmp_path: Path):
    package = tmp_path / 'pack'
    (package / '_hidden').mkdir(parents=True)
    (package / '__init__.py').write_text("__all__ = ['run']\n")
    (package / '_hidden/a.py').write_text("__all__ = ['b']\n")
    (package / 'mod.py').write_text("__all__ = ['f', 'Box']\ndef g(): ...\n")
    assert tool.public_api(package) == {
        'pack': ['run'],
        'pack.mod': ['Box', 'f'],
    }


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


def _documented(path: Path) -> Iterator[tuple[str, bool]]:
    """Public modules, classes, functions and methods of a file."""
    tree = ast.parse(path.read_text())
    nodes: list[tuple[str, ast.AST]] = [(str(path.relative_to(ROOT)), tree)]
    while nodes:
        where, node = nodes.pop()
        yield where, ast.get_docstring(node) is not None
        if isinstance(node, (ast.Module, ast.ClassDef)):
            nodes += [
                (f'{where} {child.name}', child)
                for child in node.body
                if isinstance(child, (ast.ClassDef, ast.FunctionDef))
                and not child.name.startswith('_')
            ]


def test_documentation_of_public_things():
    things = [
        thing
        for path in _python_files('aios', 'tools', 'demo')
        for thing in _documented(path)
    ]
    assert len(things) > 1000
    missing = [where for where, documented in things if not documented]
    share = 1 - len(missing) / len(things)
    assert share >= LEAST_DOCUMENTED, '\n'.join(missing)


def test_files_are_short_or_say_why_not():
    """A long one says ``Long because ...`` in its first lines."""
    files = _python_files('aios', 'configs', 'demo', 'tests', 'tools')
    assert len(files) > 300
    for path in files:
        lines = path.read_text().splitlines()
        if len(lines) > MOST_LINES:
            head = '\n'.join(lines[:15])
            assert 'Long because' in head, f'{path}: {len(lines)} lines'
