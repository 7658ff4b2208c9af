#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""List the public names of the package with their signatures, as JSON.

Public is what a module has in ``__all__``.  The files are read, not run.  A
test compares the list with tests/test_packaging/public_api.json, so that
nobody changes the API without noticing.

Examples:
    python tools/misc/list_api.py
    python tools/misc/list_api.py --write tests/test_packaging/public_api.json
"""

from __future__ import annotations

import argparse
import ast
import json
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / 'aios'


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--write', type=Path, metavar='FILE', help='write it to this file'
    )
    return parser


def public_api(package: Path = PACKAGE) -> dict[str, dict[str, str]]:
    """Signatures of all public names, by module.

    Args:
        package: Folder of the package.

    Returns:
        For each module with ``__all__``, names to signatures; methods have
        the name of their class before theirs.  Of what is imported from
        another module of the package only the name is given.
    """
    modules = {}
    for path in sorted(package.rglob('*.py')):
        relative = path.relative_to(package.parent)
        if any(part.startswith(('.', '_')) for part in relative.parts[:-1]):
            continue
        tree = ast.parse(path.read_text(), str(path))
        names = _public_names(tree)
        if names:
            parts = relative.with_suffix('').parts
            parts = parts[:-1] if parts[-1] == '__init__' else parts
            modules['.'.join(parts)] = _signatures(tree, names)
    return modules


def _public_names(tree: ast.Module) -> list[str]:
    """The content of ``__all__``."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            getattr(target, 'id', '') == '__all__' for target in node.targets
        ):
            return list(ast.literal_eval(node.value))
    return []


def _signatures(tree: ast.Module, names: list[str]) -> dict[str, str]:
    found = dict.fromkeys(sorted(names), '')
    for node in tree.body:
        name = getattr(node, 'name', '')
        if name not in found:
            continue
        if isinstance(node, ast.FunctionDef):
            found[name] = _signature(node)
        elif isinstance(node, ast.ClassDef):
            found |= dict(_members(node))
    return found


def _members(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    """A class, its fields, and its public methods."""
    bases = ', '.join(ast.unparse(base) for base in node.bases)
    yield node.name, f'class({bases})'
    for item in node.body:
        if isinstance(item, ast.FunctionDef):
            if item.name in ('__init__', '__call__') or item.name[0] != '_':
                yield f'{node.name}.{item.name}', _signature(item)
        elif isinstance(item, ast.AnnAssign):
            field = ast.unparse(item.target)
            if field[0] != '_':
                yield f'{node.name}.{field}', ast.unparse(item.annotation)


def _signature(node: ast.FunctionDef) -> str:
    returns = f' -> {ast.unparse(node.returns)}' if node.returns else ''
    return f'({ast.unparse(node.args)}){returns}'


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = build_parser().parse_args(argv)
    text = json.dumps(public_api(), indent=1) + '\n'
    if args.write is None:
        print(text, end='')
    else:
        args.write.write_text(text)


if __name__ == '__main__':
    main()
