# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What OpenMMLab's packages must know of this one before they are used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import mmcv_ext
from .versions import warn_about_versions


def prepare_openmmlab() -> None:
    """Make models of MMDetection importable, and our configs inheritable.

    Safe to call again.  :mod:`aios.registry` does it, which MMEngine imports
    as soon as a config says ``default_scope = 'aios'``, hence before it can
    build any class of MMDetection.
    """
    from mmengine.config.utils import MODULE2PACKAGE

    mmcv_ext.install()
    warn_about_versions()
    # The projects whose configs others may inherit, as in
    # `_base_ = 'aios::aios/aios_r50.py'`; see docs/en/mim.md.
    MODULE2PACKAGE.setdefault('aios', 'aios')


def as_plain(value: Any) -> Any:
    """The same with plain dictionaries for configs, and names for classes.

    A config in Python's syntax holds classes that are not imported yet, whose
    copies differ; checkpoints hold data only.
    """
    if isinstance(value, Mapping):
        return {key: as_plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(as_plain, value))
    if isinstance(value, type):
        return f'{value.__module__}.{value.__qualname__}'
    return value
