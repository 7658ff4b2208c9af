# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Set up OpenMMLab's packages for this one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import mmcv_ext
from .versions import warn_about_versions


def prepare_openmmlab() -> None:
    """Make models of MMDetection importable, and our configs inheritable.

    Safe to call again.  :mod:`aios.registry` calls it, which MMEngine imports
    for ``default_scope = 'aios'`` before it builds any class of MMDetection.
    """
    from mmengine.config.utils import MODULE2PACKAGE

    mmcv_ext.install()
    warn_about_versions()
    # For configs with `_base_ = 'aios::aios/aios_r50.py'`; docs/en/mim.md.
    MODULE2PACKAGE.setdefault('aios', 'aios')


def as_plain(value: Any) -> Any:
    """Replace configs by plain dictionaries, and classes by their names.

    Configs in pure Python hold lazily imported classes, whose copies differ;
    checkpoints hold data only.
    """
    if isinstance(value, Mapping):
        return {key: as_plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(as_plain, value))
    if isinstance(value, type):
        return f'{value.__module__}.{value.__qualname__}'
    return value


def type_name(config: Mapping[str, Any]) -> str:
    """Name of the ``type`` of a config, without its scope.

    Args:
        config: With a name or, in MMEngine's new style, a class as ``type``.
    """
    kind = config.get('type', '')
    return str(getattr(kind, '__name__', kind)).rpartition('.')[2]
