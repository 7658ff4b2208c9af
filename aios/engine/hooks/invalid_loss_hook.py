# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Stop when the loss is no number, and say where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

    Args:
        interval: Look every so many iterations.  Looking waits for the
            device.
    """

    priority = 'VERY_HIGH'

    def __init__(self, interval: int = 1) -> None:
        self.interval = interval

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Mapping[str, Any] | None = None,
    ) -> None:
        """Look at the losses.

        Raises:
            InvalidLossError: If the total is no finite number.
        """
        if outputs is None or not self.every_n_train_iters(
            runner, self.interval
        ):
            return
        if torch.isfinite(torch.as_tensor(outputs['loss'])).all():
            return
        broken = [
            name
            for name, value in outputs.items()
            if not torch.isfinite(torch.as_tensor(value)).all()
        ]
        raise InvalidLossError(
            f'iteration {runner.iter + 1}: not finite are '
            f'{", ".join(broken)}; samples of the batch:\n'
            + '\n'.join(_samples(data_batch))
        )


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
