#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""List the public names of the package, as JSON.

The public names of a package are those in ``__all__``. The files are parsed,
not imported. A test compares the list with
tests/test_packaging/public_api.json to detect changes of the API.

Examples:
    python tools/misc/list_api.py
    python tools/misc/list_api.py --write tests/test_packaging/public_api.json
"""

from __future__ import annotations

import argparse
import ast
import json
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / 'aios'


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--write',
        type=Path,
        metavar='FILE',
        help='write the list to this file',
    )
    return parser


def public_api(package: Path = PACKAGE) -> dict[str, list[str]]:
    """The sorted public names of each module with ``__all__``."""
    modules = {}
    for path in sorted(package.rglob('*.py')):
        relative = path.relative_to(package.parent)
        if any(part.startswith(('.', '_')) for part in relative.parts[:-1]):
            continue
        names = _public_names(ast.parse(path.read_text(), str(path)))
        if names:
            parts = relative.with_suffix('').parts
            parts = parts[:-1] if parts[-1] == '__init__' else parts
            modules['.'.join(parts)] = sorted(names)
    return modules


def _public_names(tree: ast.Module) -> list[str]:
    """The content of ``__all__``."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(
            getattr(target, 'id', '') == '__all__' for target in node.targets
        ):
            return list(ast.literal_eval(node.value))
    return []


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
