# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Training with sharded models (FSDP).

See docs/en/scale.md and ``configs/_base_/fsdp.py``.
"""

from __future__ import annotations

import math
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

Unlike heads, they have no other methods than ``forward``."""


def wrap_layers(
    module: nn.Module,
    recurse: bool,
    nonwrapped_numel: int,
    layers: Sequence[str] = FSDP_LAYERS,
) -> bool:
    """Auto-wrap policy of FSDP.

    Args:
        module: A module.
        recurse: Whether FSDP asks to visit its children.
        nonwrapped_numel: Number of its parameters.
        layers: Names of classes.

    Returns:
        Whether to visit its children or to wrap it.
    """
    return recurse or type(module).__name__ in layers


@STRATEGIES.register_module()
class ResumableFSDPStrategy(FSDPStrategy):
    """MMEngine's strategy, with resumable optimizers.

    MMEngine 0.10 passes arguments to PyTorch in an order that changed in
    PyTorch 2.1.
    """

    def load_optim_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the full state of the optimizer, sharded."""
        wrapper = self.optim_wrapper
        shards = FullyShardedDataParallel.optim_state_dict_to_load(
            model=self.model,
            optim=wrapper.optimizer,
            optim_state_dict=state_dict,
        )
        wrapper.load_state_dict(shards)

    def save_checkpoint(self, filename: str, **options: Any) -> None:
        """Save a checkpoint atomically."""
        if not (is_main_process() and self._is_full_state_dict()):
            super().save_checkpoint(filename, **options)
            return
        with written_aside(filename, overwrite=True) as path:
            super().save_checkpoint(str(path), **options)


@OPTIM_WRAPPERS.register_module()
class ShardedOptimWrapper(AsyncOptimWrapper):
    """An optimizer wrapper for models that FSDP shards.

    Each process has a shard of every gradient.  MMEngine would clip by the
    norm of the local shards, which differs between processes; this wrapper
    clips by the norm of the whole gradient.

    Arguments are those of :class:`~aios.engine.optim.AsyncOptimWrapper`.
    FSDP's ``sharding_strategy`` must shard gradients among *all* processes,
    unlike ``NO_SHARD`` and the ``HYBRID`` ones.
    """

    def _clip_grad(self) -> None:
        if self.clip_func is not torch.nn.utils.clip_grad_norm_:
            super()._clip_grad()  # by value, independent of shards
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
        device = self.optimizer.param_groups[0]['params'][0].device
        total = _total_norm(grads, kind, device)
        factor = (max_norm / (total + 1e-6)).clamp(max=1.0)
        for grad in grads:
            grad.mul_(factor.to(grad))
        self._set_norm(total)


def _total_norm(
    grads: list[Tensor], kind: float, device: torch.device
) -> Tensor:
    """Norm of the gradients of all processes, a scalar.

    Args:
        grads: Shards of this process, possibly none.
        kind: Exponent of the norm; infinite for the largest element.
        device: Device of the result.
    """
    # All processes must call all_reduce, also those without gradients.
    norms = [torch.zeros((), device=device)]
    norms += [torch.linalg.vector_norm(x, kind).to(norms[0]) for x in grads]
    total = torch.linalg.vector_norm(torch.stack(norms), kind)
    is_largest = math.isinf(kind)
    total = total if is_largest else total**kind
    if distributed.is_initialized():
        reduction = distributed.ReduceOp
        distributed.all_reduce(
            total, reduction.MAX if is_largest else reduction.SUM
        )
    return total if is_largest else total ** (1 / kind)
