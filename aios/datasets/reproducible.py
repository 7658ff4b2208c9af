# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Reproducible augmentation.

With MMEngine's defaults the random numbers of a worker depend on its earlier
samples, and restart from the same seed when training is resumed.  Here the
*index* of a sample carries a seed from the sampler to the dataset in the
worker.  A sample then depends only on the seed, the epoch and its position
in it, not on the number of workers or on interruptions of the training.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from mmengine.dataset import ConcatDataset

from aios.registry import DATASETS


def mix_seed(*numbers: int) -> int:
    """Hash numbers to a 32-bit seed; close numbers give unrelated seeds."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


class SeededIndex(int):
    """An index with the seed of its sample.

    Args:
        value: The index.
        seed: 32-bit seed.
    """

    seed: int

    def __new__(cls, value: int, seed: int) -> SeededIndex:
        """Make an int with an attribute."""
        index = super().__new__(cls, value)
        index.seed = seed
        return index

    def __reduce__(self) -> tuple[Any, ...]:
        return SeededIndex, (int(self), self.seed)


@contextmanager
def seeded_randomness(seed: int) -> Iterator[None]:
    """Seed random numbers within the context and restore their state after.

    This applies to :mod:`random` and NumPy's global generator, which
    transforms use.  Without workers the dataset shares them with all code.
    """
    # Transforms of all OpenMMLab projects draw from the global generator.
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002


@DATASETS.register_module()
class SeededConcatDataset(ConcatDataset):
    """Concatenation of datasets with reproducible augmentation.

    See MMEngine's :class:`ConcatDataset` for the arguments.  Indices of
    :class:`~aios.datasets.samplers.WeightedConcatSampler` carry seeds; with
    any other sampler this is an ordinary ``ConcatDataset``.
    """

    def __getitem__(self, index: int) -> Any:
        if not isinstance(index, SeededIndex):
            return super().__getitem__(index)
        with seeded_randomness(index.seed):
            return super().__getitem__(int(index))
