# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Asynchronous copy of the losses of a step to the host."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

_NAMES = ('dataset_name', 'img_id', 'sample_idx', 'img_path', 'flip')


class InvalidLossError(RuntimeError):
    """The loss is infinite or not a number."""


class StepNumbers:
    """All scalars of a step, copied to the host in one transfer.

    MMEngine synchronizes once for each of more than a hundred losses.  Here
    only :meth:`read` synchronizes, if the device is not done yet.

    Args:
        iteration: Number of the step, from 1.
        outputs: Scalars by name, tensors or numbers; other values are left
            out.
        data_batch: The batch of the step, for the names of its samples.
        must_be_finite: Names of values that indicate broken training if they
            are infinite or NaN.
    """

    def __init__(
        self,
        iteration: int,
        outputs: Mapping[str, Any],
        data_batch: Any,
        must_be_finite: Sequence[str],
    ) -> None:
        self._must_be_finite = must_be_finite
        self._iteration = iteration
        self._samples = _metainfos(data_batch)
        self._numbers = {
            name: float(value)
            for name, value in outputs.items()
            if isinstance(value, int | float)
        }
        tensors = {
            name: value.detach().reshape(()).float()
            for name, value in outputs.items()
            if isinstance(value, Tensor) and value.numel() == 1
        }
        self._names = list(tensors)
        self._copy = _Copy(
            torch.stack(list(tensors.values())) if tensors else torch.empty(0)
        )

    def read(self) -> dict[str, float]:
        """All numbers by name.

        Raises:
            InvalidLossError: If a value of ``must_be_finite`` is not.  The
                message has the iteration, the names of all such values and
                the samples of the batch.
        """
        values = dict(zip(self._names, self._copy.read(), strict=True))
        numbers = self._numbers | values
        self._check(numbers)
        return numbers

    def _check(self, numbers: Mapping[str, float]) -> None:
        if all(
            math.isfinite(numbers.get(n, 0.0)) for n in self._must_be_finite
        ):
            return
        broken = [
            n for n, value in numbers.items() if not math.isfinite(value)
        ]
        raise InvalidLossError(
            f'iteration {self._iteration}: non-finite values: '
            f'{", ".join(broken)}; samples of the batch:\n'
            + ('\n'.join(map(_line, self._samples)) or '  (none known)')
        )


class _Copy:
    """A vector that is copied to the host asynchronously."""

    def __init__(self, vector: Tensor) -> None:
        self._host = vector
        self._done: torch.cuda.Event | None = None
        if vector.is_cuda:
            # PyTorch allocates pinned memory for this.
            self._host = vector.to('cpu', non_blocking=True)
            self._done = torch.cuda.Event()
            self._done.record(torch.cuda.current_stream(vector.device))

    def read(self) -> list[float]:
        if self._done is not None:
            self._done.synchronize()
        return self._host.tolist()


def _metainfos(data_batch: Any) -> list[dict[str, Any]]:
    """Meta information of the samples of a batch."""
    if not isinstance(data_batch, Mapping):
        return []
    return [
        sample.metainfo
        for sample in data_batch.get('data_samples', ())
        if isinstance(sample, BaseDataElement)
    ]


def _line(metainfo: Mapping[str, Any]) -> str:
    known = (name for name in _NAMES if name in metainfo)
    return '  ' + ', '.join(f'{name}={metainfo[name]!r}' for name in known)
