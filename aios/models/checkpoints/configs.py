# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Configs in checkpoints, as data with registered types.

MMEngine executes the text of a config to read it, and imports packages for
``type='package.name'``. Both are unsafe for untrusted files.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.registry import MODELS, TASK_UTILS, TRANSFORMS, Registry

from .reading import CheckpointError

_CALLS = {'dict': dict, 'set': set, 'list': list, 'tuple': tuple}
_KEPT = ('model', 'test_dataloader')


def read_stored_config(
    config: Mapping[str, Any], source: str | os.PathLike
) -> dict[str, Any]:
    """Fields for inference of a config from a file.

    Args:
        config: Plain data.
        source: The file, for messages.

    Returns:
        ``model`` and ``test_dataloader``, if present. The types of the model
        and of the pipelines are names in registries of ``aios``, ``mmdet``,
        ``mmengine`` (which include those of mmcv), or of a project that is
        already imported.

    Raises:
        CheckpointError: Another type is used.
    """
    kept = {name: config[name] for name in _KEPT if name in config}
    return _with_registered_types(kept, '', str(source))


def _with_registered_types(value: Any, place: str, source: str) -> Any:
    if isinstance(value, (list, tuple)):
        return [
            _with_registered_types(item, f'{place}[{i}]', source)
            for i, item in enumerate(value)
        ]
    if not isinstance(value, Mapping):
        return value
    content = {
        key: _with_registered_types(item, f'{place}.{key}'.strip('.'), source)
        for key, item in value.items()
    }
    # Datasets and samplers are not built for inference.
    if place.startswith('test_dataloader') and 'pipeline' not in place:
        return content
    if '_scope_' in content and content['_scope_'] not in _scopes():
        _reject(source, f'{place}._scope_', content['_scope_'])
    if 'type' in content:
        name = _registered_name(content['type'])
        if name is None:
            _reject(source, f'{place}.type', content['type'])
        content['type'] = name
    return content


def _reject(source: str, place: str, value: Any) -> None:
    raise CheckpointError(
        f'{source}: the stored config has {place} = {str(value)[:80]!r}, '
        f'which is not registered in {", ".join(_scopes())}; use a config '
        'file instead, or import the project that registers it'
    )


def _scopes() -> list[str]:
    return sorted({node.scope for node in _nodes()})


def _registered_name(name: Any) -> str | None:
    """Name of a type in a registry, found without importing its package.

    Full paths of MMEngine's new-style configs are converted to the names of
    registered classes.
    """
    if not isinstance(name, str):
        return None
    scope, _, last = name.rpartition('.')
    package = scope.partition('.')[0]
    for node in _filled_nodes(package):
        if last in node.module_dict:
            if scope in ('', node.scope):
                return name
            module = getattr(node.module_dict[last], '__module__', '')
            if module.partition('.')[0] == package:
                return f'{node.scope}.{last}'
    return None


def _nodes() -> list[Registry]:
    """Registries for inference, with those of other projects last."""
    import mmdet.registry  # noqa: F401

    import aios.registry  # noqa: F401

    first = ('aios', 'mmengine', 'mmdet')
    nodes = [
        node
        for root in (MODELS, TASK_UTILS, TRANSFORMS)
        for node in (root, *root.children.values())
    ]
    return sorted(
        nodes,
        key=lambda x: first.index(x.scope) if x.scope in first else 3,
    )


def _filled_nodes(package: str) -> Iterator[Registry]:
    """Registries, after importing the modules that fill them."""
    for node in _nodes():
        if node.scope in (package, 'mmengine') or not package:
            node.import_from_location()
            yield node


def parse_config(text: str, source: str) -> dict[str, Any]:
    """Read the text of a config that MMEngine stores, without executing it.

    Args:
        text: Assignments of literals and ``dict(...)``.
        source: Name of the file, for messages.

    Raises:
        CheckpointError: The text has other statements.
    """
    try:
        statements = ast.parse(text).body
        return dict(map(_assignment, statements))
    except (
        MemoryError,  # nested too deep for the parser
        RecursionError,
        SyntaxError,
        TypeError,
        ValueError,
    ) as error:
        raise CheckpointError(
            f'{source}: the stored config is not plain data ({error}); use a '
            'config file instead'
        ) from error


def _assignment(statement: ast.stmt) -> tuple[str, Any]:
    if isinstance(statement, ast.Assign):
        (target, *others) = statement.targets
        if isinstance(target, ast.Name) and not others:
            return target.id, _literal(statement.value)
    raise ValueError(
        f'line {statement.lineno} does not assign to a name: '
        f'{ast.unparse(statement):.60}'
    )


def _literal(node: ast.expr) -> Any:
    if isinstance(node, ast.Call):
        name = getattr(node.func, 'id', '?')
        if name not in _CALLS or any(k.arg is None for k in node.keywords):
            raise ValueError(f'a call of {name}')
        arguments = [_literal(x) for x in node.args]
        return _CALLS[name](
            *arguments,
            **{str(k.arg): _literal(k.value) for k in node.keywords},
        )
    if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
        kinds: dict[type, Any] = {ast.List: list, ast.Tuple: tuple}
        return kinds.get(type(node), set)(_literal(x) for x in node.elts)
    if isinstance(node, ast.Dict) and None not in node.keys:
        return {
            _literal(key): _literal(value)  # type: ignore[arg-type]
            for key, value in zip(node.keys, node.values, strict=True)
        }
    return ast.literal_eval(node)
