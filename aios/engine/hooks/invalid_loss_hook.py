# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Look at the losses of a step once, and stop when they are no numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmengine.hooks import Hook
from mmengine.runner import Runner

from aios.registry import HOOKS

__all__ = ['InvalidLossError', 'InvalidLossHook']

_NAMES = ('dataset_name', 'img_id', 'sample_idx', 'img_path', 'flip')


class InvalidLossError(RuntimeError):
    """The loss is infinite or not a number."""


@HOOKS.register_module()
class InvalidLossHook(Hook):
    """Stop training at the first loss that is infinite or not a number.

    The message names the losses and the samples of the batch.  The hook runs
    before averaged weights are updated and before a checkpoint is written, so
    that neither takes in the broken weights.

    All losses come to the host in one transfer, and other hooks find numbers
    instead of tensors: MMEngine would wait for the device once for each loss
    that it logs, and there are more than a hundred.

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
        _to_host(outputs)
        if not self.every_n_train_iters(runner, self.interval):
            return
        if _is_finite(outputs['loss']):
            return
        broken = [
            name for name, value in outputs.items() if not _is_finite(value)
        ]
        raise InvalidLossError(
            f'iteration {runner.iter + 1}: not finite are '
            f'{", ".join(broken)}; samples of the batch:\n'
            + '\n'.join(_samples(data_batch))
        )


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return bool(torch.isfinite(torch.as_tensor(value)).all())


def _to_host(outputs: MutableMapping[str, Any]) -> None:
    """Replace scalars on a device by numbers, all at once."""
    scalars = {
        name: value.detach().reshape(()).float()
        for name, value in outputs.items()
        if isinstance(value, torch.Tensor) and value.numel() == 1
    }
    if scalars:
        numbers = torch.stack(list(scalars.values())).tolist()
        outputs.update(zip(scalars, numbers, strict=True))


def _samples(data_batch: Any) -> list[str]:
    """A line for each sample of a batch."""
    samples: Sequence[DetDataSample] = ()
    if isinstance(data_batch, Mapping):
        samples = data_batch.get('data_samples', ())
    return [
        '  '
        + ', '.join(
            f'{name}={sample.metainfo[name]!r}'
            for name in _NAMES
            if name in sample.metainfo
        )
        for sample in samples
    ] or ['  (none known)']
