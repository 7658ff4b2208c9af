# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Log losses without waiting for them."""

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
    """Log the losses of a step, and stop when they are no numbers.

    Takes the place of MMEngine's ``RuntimeInfoHook`` (``default_hooks``,
    ``runtime_info``).  Losses and the norm of the gradient are copied to the
    host while the device works on, and read after the next step, when they
    have long arrived.  They are read at once where they are used: before
    ``LoggerHook`` writes, at the end of an epoch, before a checkpoint and
    before validation.  So logs are the same as MMEngine's.

    Training stops at a loss or a gradient that is infinite or not a number,
    with its name and those of the samples of the batch.  The optimizer
    wrapper must have left out that step
    (:class:`~aios.engine.optim.AsyncOptimWrapper` with a fused optimizer);
    with any other wrapper, losses are read at once, before averaged weights
    or a checkpoint take in broken weights.
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
        """Take up the numbers of this step, log those of the one before.

        Raises:
            InvalidLossError: If the total loss or the norm of the gradient
                is no finite number.
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
        if not can_wait or self._is_looked_at(runner, batch_idx):
            self._log(runner)

    def before_val(self, runner: Runner) -> None:
        """Log what is left, before averaged weights are looked at."""
        self._log(runner)
        super().before_val(runner)

    def before_save_checkpoint(
        self, runner: Runner, checkpoint: dict[str, Any]
    ) -> None:
        """Log what is left, also in the checkpoint."""
        if self._step is not None:
            self._log(runner)
            checkpoint['message_hub'] = runner.message_hub.state_dict()

    def after_train(self, runner: Runner) -> None:
        """Log what is left."""
        self._log(runner)

    def _is_looked_at(self, runner: Runner, batch_idx: int) -> bool:
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
