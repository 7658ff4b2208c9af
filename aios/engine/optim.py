# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Optimizer wrappers that do not wait for the device.

MMEngine's wrappers read the norm of the gradient in every step to log it, so
the host waits until the whole backward pass is done.  Here the norm stays on
the device, for :class:`~aios.engine.hooks.AsyncRuntimeInfoHook` to read it
together with the losses.

A step with a gradient that is infinite or not a number changes nothing, if the
optimizer can be told so on its device (``fused=True``).  The loss can then be
looked at later: until then nothing broken gets into the weights.
"""

from __future__ import annotations

from typing import Any

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import Tensor

from aios.registry import OPTIM_WRAPPERS

__all__ = ['AsyncAmpOptimWrapper', 'AsyncOptimWrapper']


class _AsyncNorm(OptimWrapper):
    """The norm of the gradient stays where it is."""

    _grad_norm: Tensor | None = None

    @property
    def skips_broken_steps(self) -> bool:
        """Whether a gradient without a finite norm leaves the weights."""
        return (
            bool(self.clip_grad_kwargs)
            and self.clip_func is torch.nn.utils.clip_grad_norm_
            and getattr(self.optimizer, '_step_supports_amp_scaling', False)
        )

    @property
    def must_be_finite(self) -> tuple[str, ...]:
        """Names of what is logged here that shows broken training."""
        return (self.grad_name,)

    def take_grad_norm(self) -> dict[str, Tensor]:
        """Norm of the gradient before it was clipped, a scalar, by its name.

        Empty where the last iteration made no step (gradients are summed
        over several) or where there is no norm (none is clipped, or each
        value for itself).  A norm is given once.
        """
        norm, self._grad_norm = self._grad_norm, None
        return {} if norm is None else {self.grad_name: norm}

    def step(self, **kwargs: Any) -> None:
        """Clip the gradient and update parameters; see ``OptimWrapper``."""
        self._grad_norm = None
        try:
            super().step(**kwargs)
        finally:
            # what GradScaler leaves behind, too, is for one step only
            self.optimizer.__dict__.pop('found_inf', None)

    def _clip_grad(self) -> None:
        parameters = [
            parameter
            for group in self.optimizer.param_groups
            for parameter in group['params']
            if parameter.requires_grad and parameter.grad is not None
        ]
        if parameters:
            # clip_grad_value_ returns nothing
            norm = self.clip_func(parameters, **self.clip_grad_kwargs)
            if norm is not None:
                self._set_norm(norm)

    def _set_norm(self, norm: Tensor) -> None:
        self._grad_norm = norm.detach()
        if self.skips_broken_steps:
            # the name by which GradScaler tells fused optimizers
            broken = ~torch.isfinite(self._grad_norm)
            self.optimizer.__dict__['found_inf'] = broken.float()


@OPTIM_WRAPPERS.register_module()
class AsyncOptimWrapper(_AsyncNorm):
    """MMEngine's optimizer wrapper, without waiting for the device.

    Arguments are those of :class:`mmengine.optim.OptimWrapper`.  The norm of
    the gradient is logged by ``AsyncRuntimeInfoHook``, which our runtime
    configs have.
    """


@OPTIM_WRAPPERS.register_module()
class AsyncAmpOptimWrapper(_AsyncNorm, AmpOptimWrapper):
    """MMEngine's wrapper for mixed precision, without waiting.

    Arguments are those of :class:`mmengine.optim.AmpOptimWrapper`.  See
    :class:`AsyncOptimWrapper`.
    """

    @property
    def must_be_finite(self) -> tuple[str, ...]:
        """Nothing with scaled losses: too large a scale is found that way."""
        return () if self.loss_scaler.is_enabled() else (self.grad_name,)
