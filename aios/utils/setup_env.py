# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Import everything that registers itself, and set the default scope."""

from __future__ import annotations

import time
import warnings

__all__ = ['register_all_modules']


def register_all_modules(init_default_scope: bool = True) -> None:
    """Import every module that the registries of scope ``aios`` know.

    Not needed with a :class:`mmengine.runner.Runner`, which finds modules
    through ``default_scope='aios'``; useful in scripts and notebooks.

    Args:
        init_default_scope: Also make ``aios`` the current default scope. If
            another scope is current, this warns and takes its place.
    """
    from aios import registry

    for name in registry.__all__:
        getattr(registry, name).import_from_location()
    if init_default_scope:
        _enter_default_scope('aios')


def _enter_default_scope(scope: str) -> None:
    from mmengine.registry import DefaultScope

    current = DefaultScope.get_current_instance()
    if current is not None and current.scope_name == scope:
        return
    if current is not None:
        warnings.warn(
            f'The current default scope is "{current.scope_name}"; '
            f'`register_all_modules` replaces it with "{scope}". Pass '
            '`init_default_scope=False` if this is not wanted.',
            stacklevel=3,
        )
    # Instances are kept by name, and an old one never becomes current again.
    name = scope
    if DefaultScope.check_instance_created(name):
        name = f'{scope}-{time.time_ns()}'
    DefaultScope.get_instance(name, scope_name=scope)
