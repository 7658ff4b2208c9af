# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Training with a model in pieces, one on each process (FSDP).

See docs/en/scale.md and ``configs/_base_/fsdp.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine._strategy import FSDPStrategy
from mmengine.dist import is_main_process
from torch import Tensor, distributed, nn
from torch.distributed.fsdp import FullyShardedDataParallel

from aios.engine.optim import AsyncOptimWrapper
from aios.registry import OPTIM_WRAPPERS, STRATEGIES
from aios.utils.safe_io import written_aside

FSDP_LAYERS = (
    'DeformableEncoderLayer',
    'ProgressiveDecoderLayer',
    'ResLayer',
    'SwinBlockSequence',
)
"""Classes whose parameters are gathered only while they compute.

They have nothing that is called besides ``forward``, unlike heads."""


def wrap_layers(
    module: nn.Module,
    recurse: bool,
    nonwrapped_numel: int,
    layers: Sequence[str] = FSDP_LAYERS,
) -> bool:
    """Policy of FSDP: which modules become units of their own.

    Args:
        module: The module in question.
        recurse: Whether the question is to look into it.
        nonwrapped_numel: Number of its parameters.
        layers: Names of classes.

    Returns:
        The answer.
    """
    return recurse or type(module).__name__ in layers


@STRATEGIES.register_module()
class ResumableFSDPStrategy(FSDPStrategy):
    """MMEngine's strategy, which can go on with a training.

    MMEngine 0.10 passes arguments to PyTorch in an order that changed in
    PyTorch 2.1.
    """

    def load_optim_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the state of the optimizer from that of the whole model."""
        wrapper = self.optim_wrapper
        pieces = FullyShardedDataParallel.optim_state_dict_to_load(
            model=self.model,
            optim=wrapper.optimizer,
            optim_state_dict=state_dict,
        )
        wrapper.load_state_dict(pieces)

    def save_checkpoint(self, filename: str, **options: Any) -> None:
        """Save a checkpoint, which gets its name when it is complete."""
        if not (is_main_process() and self._is_full_state_dict()):
            super().save_checkpoint(filename, **options)
            return
        with written_aside(filename, overwrite=True) as path:
            super().save_checkpoint(str(path), **options)


@OPTIM_WRAPPERS.register_module()
class ShardedOptimWrapper(AsyncOptimWrapper):
    """An optimizer wrapper for models that FSDP takes apart.

    There each process has a piece of every gradient.  MMEngine would clip it
    by the norm of the pieces of this process: by another factor on each.
    Here all clip by the norm of the whole gradient, as without FSDP.

    Arguments are those of :class:`~aios.engine.optim.AsyncOptimWrapper`.
    FSDP's ``sharding_strategy`` must divide the gradients among *all*
    processes, which ``NO_SHARD`` and the ``HYBRID`` ones do not.
    """

    def _clip_grad(self) -> None:
        if self.clip_func is not torch.nn.utils.clip_grad_norm_:
            super()._clip_grad()  # by value: pieces do not matter
            return
        options = dict(self.clip_grad_kwargs)
        max_norm = float(options.pop('max_norm'))
        kind = float(options.pop('norm_type', 2))
        grads = [
            parameter.grad
            for group in self.optimizer.param_groups
            for parameter in group['params']
            if parameter.grad is not None
        ]
        total = _total_norm(grads, kind, self._device())
        factor = (max_norm / (total + 1e-6)).clamp(max=1.0)
        for grad in grads:
            grad.mul_(factor.to(grad))
        self._set_norm(total)

    def _device(self) -> torch.device:
        return self.optimizer.param_groups[0]['params'][0].device


def _total_norm(
    grads: list[Tensor], kind: float, device: torch.device
) -> Tensor:
    """Norm of the gradients of all processes, a scalar.

    Args:
        grads: Pieces of this process; it may have none.
        kind: Exponent of the norm, finite.
        device: Where to.
    """
    # Every process takes part, whatever it has.
    total = torch.zeros((), device=device)
    for grad in grads:
        total += torch.linalg.vector_norm(grad, kind).to(total) ** kind
    if distributed.is_initialized():
        distributed.all_reduce(total)
    return total ** (1 / kind)
