#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""List the classes that a config can name, by registry.

Examples:
    python tools/misc/print_registers.py                     # of this project
    python tools/misc/print_registers.py --registry models --match head
    python tools/misc/print_registers.py --scope mmdet       # MMDetection's
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import sys

from mmengine import registry as root
from mmengine.registry import Registry

from aios import registry
from aios.registry import register_all_modules
from aios.utils.command_line import make_parser


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        '--scope',
        default='aios',
        help='whose classes: aios, mmengine, or another project that is '
        'installed (default: %(default)s)',
    )
    parser.add_argument(
        '--registry',
        choices=[name.lower() for name in registry.__all__],
        metavar='NAME',
        help='only this one, such as models or transforms',
    )
    parser.add_argument(
        '--match', default='', help='only names with this text in them'
    )
    return parser


def nodes_of(scope: str) -> dict[str, Registry]:
    """The registries of a project by name, with all its classes in them.

    Raises:
        ModuleNotFoundError: There is no such project.
        AttributeError: It has no ``register_all_modules``.
    """
    if scope == 'mmengine':
        return {name: getattr(root, name) for name in registry.__all__}
    # Also for other projects: they may need our stand-in for mmcv._ext.
    register_all_modules(init_default_scope=False)
    if scope != 'aios':
        utils = importlib.import_module(f'{scope}.utils')
        utils.register_all_modules(init_default_scope=False)
    module = importlib.import_module(f'{scope}.registry')
    return {
        name: getattr(module, name)
        for name in registry.__all__
        if isinstance(getattr(module, name, None), Registry)
    }


def table(nodes: dict[str, Registry], match: str) -> list[str]:
    """A block of lines per registry that is not empty."""
    lines: list[str] = []
    for title, node in nodes.items():
        rows = [
            f'  {name:<36} {_place(item)}'
            for name, item in sorted(node.module_dict.items())
            if match.lower() in name.lower()
        ]
        if rows:
            lines += [f'{title} ({len(rows)})', *rows]
    return lines


def _place(item: object) -> str:
    """Module of a class, and its first line of documentation."""
    module = inspect.getmodule(item)
    text = (inspect.getdoc(item) or '').partition('\n')[0]
    return f'{module.__name__ if module else "?"}: {text}'


def main(argv: list[str] | None = None) -> None:
    """Run the command."""
    args = build_parser().parse_args(argv)
    try:
        nodes = nodes_of(args.scope)
    except (ModuleNotFoundError, AttributeError) as error:
        sys.exit(f'error: --scope {args.scope}: {error}')
    if args.registry:
        name = args.registry.upper()
        nodes = {name: nodes[name]} if name in nodes else {}
    lines = table(nodes, args.match)
    if not lines:
        sys.exit('error: nothing is registered there under such a name')
    print('\n'.join(lines))


if __name__ == '__main__':
    main()
