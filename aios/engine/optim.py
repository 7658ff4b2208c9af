# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Optimizer wrappers without synchronization.

MMEngine's wrappers read the norm of the gradient in every step for the log, so
the host waits for the backward pass.  Here the norm stays on the device until
:class:`~aios.engine.hooks.AsyncRuntimeInfoHook` reads it together with the
losses.

Optimizers with ``fused=True`` skip steps with infinite or NaN gradients on the
device.  Losses can thus be checked later without broken weights.
"""

from __future__ import annotations

from typing import Any

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import Tensor

from aios.registry import OPTIM_WRAPPERS

__all__ = ['AsyncAmpOptimWrapper', 'AsyncOptimWrapper']


class _AsyncNorm(OptimWrapper):
    """Keeps the norm of the gradient on its device."""

    _grad_norm: Tensor | None = None

    @property
    def skips_broken_steps(self) -> bool:
        """Whether steps with a non-finite gradient norm are skipped."""
        return (
            bool(self.clip_grad_kwargs)
            and self.clip_func is torch.nn.utils.clip_grad_norm_
            and getattr(self.optimizer, '_step_supports_amp_scaling', False)
        )

    @property
    def must_be_finite(self) -> tuple[str, ...]:
        """Names of logged values that indicate broken training."""
        return (self.grad_name,)

    def take_grad_norm(self) -> dict[str, Tensor]:
        """Norm of the gradient before clipping, a scalar, by its name.

        Empty if the last iteration made no step (gradient accumulation) or
        has no norm (no clipping, or clipping by value).  Each norm is
        returned once.
        """
        norm, self._grad_norm = self._grad_norm, None
        return {} if norm is None else {self.grad_name: norm}

    def step(self, **kwargs: Any) -> None:
        """Clip the gradient and update parameters; see ``OptimWrapper``."""
        self._grad_norm = None
        try:
            super().step(**kwargs)
        finally:
            # Also that of GradScaler is valid for one step only.
            self.optimizer.__dict__.pop('found_inf', None)

    def _clip_grad(self) -> None:
        parameters = [
            parameter
            for group in self.optimizer.param_groups
            for parameter in group['params']
            if parameter.requires_grad and parameter.grad is not None
        ]
        if parameters:
            # clip_grad_value_ returns None.
            norm = self.clip_func(parameters, **self.clip_grad_kwargs)
            if norm is not None:
                self._set_norm(norm)

    def _set_norm(self, norm: Tensor) -> None:
        self._grad_norm = norm.detach()
        if self.skips_broken_steps:
            # Attribute with which GradScaler makes fused optimizers skip.
            broken = ~torch.isfinite(self._grad_norm)
            self.optimizer.__dict__['found_inf'] = broken.float()


@OPTIM_WRAPPERS.register_module()
class AsyncOptimWrapper(_AsyncNorm):
    """MMEngine's optimizer wrapper, without synchronization.

    Arguments are those of :class:`mmengine.optim.OptimWrapper`.  The norm of
    the gradient is logged by ``AsyncRuntimeInfoHook``, which our runtime
    configs have.
    """


@OPTIM_WRAPPERS.register_module()
class AsyncAmpOptimWrapper(_AsyncNorm, AmpOptimWrapper):
    """MMEngine's wrapper for mixed precision, without synchronization.

    Arguments are those of :class:`mmengine.optim.AmpOptimWrapper`.  See
    :class:`AsyncOptimWrapper`.
    """

    @property
    def must_be_finite(self) -> tuple[str, ...]:
        """Empty with loss scaling, which causes infinite values by design."""
        return () if self.loss_scaler.is_enabled() else (self.grad_name,)
