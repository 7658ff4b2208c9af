# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Logging of losses without synchronization."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from mmengine.hooks import LoggerHook, RuntimeInfoHook
from mmengine.runner import Runner
from torch import Tensor

from aios.registry import HOOKS

from .step_numbers import StepNumbers


@HOOKS.register_module()
class AsyncRuntimeInfoHook(RuntimeInfoHook):
    """Log the losses of steps and stop at infinite and NaN values.

    Replaces MMEngine's ``RuntimeInfoHook`` (``default_hooks``,
    ``runtime_info``).  Losses and the norm of the gradient are copied to the
    host asynchronously and read after the next step.  They are read at once
    before ``LoggerHook`` writes, at the end of an epoch, before a checkpoint
    and before validation, so that logs equal those of MMEngine.

    Training stops at an infinite or NaN loss or gradient; the error names it
    and the samples of the batch.  Reading later requires an optimizer wrapper
    that skips such steps (:class:`~aios.engine.optim.AsyncOptimWrapper` with
    a fused optimizer); with other wrappers, losses are read at once, before
    broken weights reach averaged weights or a checkpoint.
    """

    def __init__(self) -> None:
        super().__init__()
        self._step: StepNumbers | None = None

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: MutableMapping[str, Any] | None = None,
    ) -> None:
        """Copy the values of this step, log those of the previous one.

        Raises:
            InvalidLossError: If the total loss or the norm of the gradient
                is not finite.
        """
        self._log(runner)
        if outputs is None:
            return
        wrapper = runner.optim_wrapper
        norm: dict[str, Tensor] = getattr(wrapper, 'take_grad_norm', dict)()
        self._step = StepNumbers(
            runner.iter + 1,
            {**norm, **outputs},
            data_batch,
            ('loss', *getattr(wrapper, 'must_be_finite', ())),
        )
        can_wait = getattr(wrapper, 'skips_broken_steps', False)
        if not can_wait or self._is_logged(runner, batch_idx):
            self._log(runner)

    def before_val(self, runner: Runner) -> None:
        """Log pending values before averaged weights are evaluated."""
        self._log(runner)
        super().before_val(runner)

    def before_save_checkpoint(
        self, runner: Runner, checkpoint: dict[str, Any]
    ) -> None:
        """Log pending values, also in the checkpoint."""
        if self._step is not None:
            self._log(runner)
            checkpoint['message_hub'] = runner.message_hub.state_dict()

    def after_train(self, runner: Runner) -> None:
        """Log pending values."""
        self._log(runner)

    def _is_logged(self, runner: Runner, batch_idx: int) -> bool:
        return self.end_of_epoch(runner.train_dataloader, batch_idx) or any(
            self.every_n_inner_iters(batch_idx, hook.interval)
            for hook in runner.hooks
            if isinstance(hook, LoggerHook)
        )

    def _log(self, runner: Runner) -> None:
        step, self._step = self._step, None
        if step is None:
            return
        for name, number in step.read().items():
            runner.message_hub.update_scalar(f'train/{name}', number)
