# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Look at the losses of a step once, and stop when they are no numbers."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from aios.registry import HOOKS

from .step_numbers import StepNumbers

__all__ = ['InvalidLossHook']


@HOOKS.register_module()
class InvalidLossHook(Hook):
    """Stop training at the first loss that is infinite or not a number.

    For runtimes without :class:`AsyncRuntimeInfoHook`, which does the same.
    The message names the losses and the samples of the batch.  The hook runs
    before averaged weights are updated and before a checkpoint is written, so
    that neither takes in the broken weights.

    All losses come to the host in one transfer, and other hooks find numbers
    instead of tensors.

    Args:
        interval: Look every so many iterations.
    """

    # before MMEngine's RuntimeInfoHook
    priority = 'HIGHEST'

    def __init__(self, interval: int = 1) -> None:
        self.interval = interval

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: MutableMapping[str, Any] | None = None,
    ) -> None:
        """Look at the losses.

        Raises:
            InvalidLossError: If the total is no finite number.
        """
        if outputs is None:
            return
        step = StepNumbers(runner.iter + 1, outputs, data_batch)
        numbers = step.read()
        outputs.update(numbers)
        if self.every_n_train_iters(runner, self.interval):
            step.check(numbers)
