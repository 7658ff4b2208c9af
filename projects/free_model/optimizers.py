# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Optimizers of train_cached.py: Muon for matrices, AdamW for the rest.

Muon orthogonalizes the update of a matrix, so that all of its directions
learn equally fast (Jordan et al., 2024,
https://kellerjordan.github.io/posts/muon).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from functools import partial
from typing import Any

import torch
from cached_data import ALONE
from torch import nn
from torch.distributed.optim import ZeroRedundancyOptimizer

from aios.apis.dist_context import DistContext

# Offsets of deformable attention and the backbone learn slowly, as in
# Deformable DETR.
_SLOW = ('sampling_offsets', 'backbone.')
# Rows of these are independent vectors, not parts of a linear map.
_NOT_MATRICES = (*_SLOW, 'embed', '.content', '.size')
_MIN_SIDE = 16


class Optimizers:
    """Optimizers of different kinds of parameters that step together.

    Args:
        parameters: Names and trained parameters.
        rate: Learning rate of both; Muon's steps are as large as AdamW's
            (``match_rms_adamw``, Liu et al., 2025, section 2.2).
        muon: Whether Muon trains matrices. With torch before 2.9, which
            lacks it, AdamW trains all.
        processes: Processes with the same parameters and gradients. Each
            one computes Muon's updates of a part of the matrices, which take
            a quarter of the time of a step.
    """

    def __init__(
        self,
        parameters: Iterable[tuple[str, nn.Parameter]],
        rate: float,
        muon: bool = False,
        processes: DistContext = ALONE,
    ) -> None:
        self._is_main = processes.is_main
        if muon and not hasattr(torch.optim, 'Muon'):
            warnings.warn(
                f'torch {torch.__version__} has no Muon; AdamW trains all '
                'parameters',
                stacklevel=2,
            )
            muon = False
        kinds: dict[str, list[nn.Parameter]] = dict(fast=[], slow=[], muon=[])
        for name, parameter in parameters:
            kind = 'slow' if any(x in name for x in _SLOW) else 'fast'
            if muon and _is_matrix(name, parameter):
                kind = 'muon'
            kinds[kind].append(parameter)
        self._members: list[torch.optim.Optimizer] = [
            torch.optim.AdamW(
                [
                    dict(params=kinds['fast'], rate_factor=1.0),
                    dict(params=kinds['slow'], rate_factor=0.1),
                ],
                lr=rate,
                betas=(0.9, 0.99),
                weight_decay=1e-4,
                fused=True,
            )
        ]
        if kinds['muon']:
            make: Any = torch.optim.Muon
            if processes.world_size > 1:
                make = partial(
                    ZeroRedundancyOptimizer,
                    optimizer_class=make,
                    parameters_as_bucket_view=True,
                )
            self._members.append(
                make(
                    [dict(params=kinds['muon'], rate_factor=1.0)],
                    lr=rate,
                    weight_decay=1e-2,
                    adjust_lr_fn='match_rms_adamw',
                )
            )

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""
        for member in self._members:
            for group in member.param_groups:
                group['lr'] = rate * group['rate_factor']

    def zero_grad(self) -> None:
        """Reset all gradients."""
        for member in self._members:
            member.zero_grad()

    def step(self) -> None:
        """Perform a step of each optimizer."""
        for member in self._members:
            member.step()

    def state_dict(self) -> list[dict[str, Any]]:
        """State for :meth:`load_state_dict`, in the first process.

        All processes must call it; the others get an empty list.
        """
        for member in self._members:
            if isinstance(member, ZeroRedundancyOptimizer):
                member.consolidate_state_dict()
        if not self._is_main:
            return []
        return [member.state_dict() for member in self._members]

    def load_state_dict(
        self, states: list[dict[str, Any]] | dict[str, Any]
    ) -> None:
        """Restore a state.

        Raises:
            ValueError: If it belongs to other optimizers.
        """
        # Before Muon was added, the state was that of one optimizer, a dict.
        known = states if isinstance(states, list) else [states]
        if len(known) != len(self._members):
            raise ValueError(
                f'the checkpoint has {len(known)} optimizers, the recipe '
                f'{len(self._members)}; was recipe.muon changed?'
            )
        for member, state in zip(self._members, known, strict=True):
            member.load_state_dict(state)


def _is_matrix(name: str, parameter: nn.Parameter) -> bool:
    return (
        parameter.ndim == 2
        and min(parameter.shape) >= _MIN_SIDE
        and not any(part in name for part in _NOT_MATRICES)
    )
