# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Checkpoints as data, whatever tool runs the config."""

from __future__ import annotations

from mmengine.hooks import Hook
from mmengine.runner import Runner

from aios.models.checkpoints import install_loader
from aios.registry import HOOKS

__all__ = ['DataOnlyLoadingHook']


@HOOKS.register_module()
class DataOnlyLoadingHook(Hook):
    """Reads checkpoints without running code from them.

    MMEngine falls back to reading a whole pickle, which may run anything.
    After this hook, ``load_from``, ``resume`` and ``init_cfg`` are read by
    :func:`aios.models.checkpoints.load_checkpoint`, in this process.
    """

    priority = 'HIGHEST'

    def before_run(self, runner: Runner) -> None:
        """Replace MMEngine's readers."""
        install_loader()
