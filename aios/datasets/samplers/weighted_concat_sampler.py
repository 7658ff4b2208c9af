# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Samplers that mix datasets in fixed proportions.

Symbols: ``S`` sources (datasets), ``E`` samples of an epoch over all ranks.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
from mmengine.dataset import ConcatDataset
from mmengine.dist import get_dist_info, sync_random_seed
from mmengine.logging import print_log
from torch.utils.data import Sampler

from aios.datasets.reproducible import SeededIndex, mix_seed
from aios.registry import DATA_SAMPLERS

# Purposes of seeds, which must not share random numbers.
_ORDER, _PERMUTATION, _SAMPLE = range(3)


def split_exactly(
    total: int, weights: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Split a number in proportion to weights (largest remainder).

    Args:
        total: Number to split.
        weights: ``S`` non-negative weights, not all zero.

    Returns:
        ``(S,)`` int64 of sum ``total``, each less than one away from its
        exact share, and zero for weight zero.
    """
    shares = np.asarray(weights, float)
    shares = total * shares / shares.sum()
    # Treat shares such as 2.9999999996 as integers.
    counts = np.floor(shares + 1e-9).astype(np.int64)
    missing = total - int(counts.sum())
    # Stable: among equal remainders the first source gets more.
    order = np.argsort(counts - shares, kind='stable')
    counts[order[:missing]] += 1
    return counts


@DATA_SAMPLERS.register_module()
class WeightedConcatSampler(Sampler):
    """Samples a :class:`ConcatDataset` with a fixed share of each member.

    The shares are exact in every epoch, not only on average as when a source
    is drawn per sample (as AiOS does).  Each source has its own sequence of
    permutations, which continues across epochs: no image repeats before all
    images of its source were used.

    The content of an epoch depends only on the seed and the epoch: not on
    earlier epochs (so training can be resumed), nor on the number of ranks,
    except that its length is rounded up to a multiple of it.  Each index
    has its own seed, see :class:`~aios.datasets.reproducible.SeededIndex`.

    Args:
        dataset: The dataset; its members are the sources.  A dataset that
            is not concatenated is a single source.
        weights: ``S`` shares, which are normalized.  Default: equal shares.
        epoch_length: Samples of an epoch over all ranks, or ``'max'`` (as
            published): the length of the longest source of positive weight.
        seed: Seed, the same on all ranks.  Default: random, synchronized.

    Raises:
        ValueError: If the weights do not match the sources, are negative or
            all zero, if a source with positive weight is empty, or if
            ``epoch_length`` is neither ``'max'`` nor positive.
    """

    def __init__(
        self,
        dataset: ConcatDataset,
        weights: Sequence[float] | None = None,
        epoch_length: int | str = 'max',
        seed: int | None = None,
    ) -> None:
        self.dataset = dataset  # read by batch samplers of MMDetection
        members = getattr(dataset, 'datasets', [dataset])
        self.sizes = np.array([len(member) for member in members])
        self.names = [
            getattr(member, 'dataset_name', f'source {index}')
            for index, member in enumerate(members)
        ]
        self.weights = self._check_weights(weights)
        self.seed = sync_random_seed() if seed is None else seed
        self.rank, self.world_size = get_dist_info()
        self.epoch = 0
        self.counts = split_exactly(
            self._epoch_length(epoch_length), self.weights
        )
        print_log(self._table(), logger='current')

    def _check_weights(self, weights: Sequence[float] | None) -> np.ndarray:
        count = len(self.sizes)
        values = np.ones(count) if weights is None else np.array(weights)
        if values.shape != (count,):
            raise ValueError(
                f'weights must be {count} numbers, one for each of '
                f'{self.names}, got {weights}'
            )
        if not np.isfinite(values).all() or values.min() < 0:
            raise ValueError(f'weights must not be negative, got {weights}')
        if not values.any():
            raise ValueError('weights must not all be zero')
        for name, size, value in zip(
            self.names, self.sizes, values, strict=True
        ):
            if value and not size:
                raise ValueError(f'{name} is empty but has weight {value}')
        return values / values.sum()

    def _epoch_length(self, length: int | str) -> int:
        if length == 'max':
            length = int(self.sizes[self.weights > 0].max())
        if not isinstance(length, int) or length < 1:
            raise ValueError(
                f"epoch_length must be 'max' or positive, got {length!r}"
            )
        return math.ceil(length / self.world_size) * self.world_size

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next iteration."""
        self.epoch = epoch

    def __len__(self) -> int:
        return int(self.counts.sum()) // self.world_size

    def __iter__(self) -> Iterator[int]:
        return self._rank_indices(self.epoch)

    def _rank_indices(self, epoch: int) -> Iterator[int]:
        """Indices of an epoch for this rank."""
        indices = self.epoch_indices(epoch)
        for place in range(self.rank, len(indices), self.world_size):
            seed = mix_seed(self.seed, _SAMPLE, epoch, place)
            yield SeededIndex(indices[place], seed)

    def epoch_indices(self, epoch: int) -> np.ndarray:
        """Indices of an epoch, for all ranks, in order.

        Args:
            epoch: Number of the epoch, from 0.

        Returns:
            ``(E,)`` int64 indices of the concatenated dataset.
        """
        starts = np.cumsum(self.sizes) - self.sizes
        pieces = [
            starts[source] + self._source_indices(source, epoch * count, count)
            for source, count in enumerate(self.counts.tolist())
        ]
        order = np.random.default_rng(mix_seed(self.seed, _ORDER, epoch))
        return order.permutation(np.concatenate(pieces))

    def _source_indices(
        self, source: int, start: int, count: int
    ) -> np.ndarray:
        """``count`` indices of a source, after ``start`` earlier ones."""
        size = int(self.sizes[source])
        if not count:
            return np.empty(0, np.int64)
        first = start // size
        last = (start + count - 1) // size
        passes = [
            np.random.default_rng(
                mix_seed(self.seed, _PERMUTATION, source, number)
            ).permutation(size)
            for number in range(first, last + 1)
        ]
        offset = start - first * size
        return np.concatenate(passes)[offset : offset + count]

    def _table(self) -> str:
        """Table of the sources of an epoch."""
        total = int(self.counts.sum())
        lines = [
            f'{total} samples per epoch, {len(self)} per rank '
            f'({self.world_size} ranks)',
            '  dataset                 images   wanted  realized  samples  '
            'passes',
        ]
        for name, size, weight, count in zip(
            self.names, self.sizes, self.weights, self.counts, strict=True
        ):
            passes = count / size if size else 0
            lines.append(
                f'  {name:20s} {size:9d}  {weight:7.2%}   '
                f'{count / total:7.2%}  {count:7d}  {passes:6.3f}'
            )
        return '\n'.join(lines)


@DATA_SAMPLERS.register_module()
class InfiniteWeightedConcatSampler(WeightedConcatSampler):
    """Endless sequence of epochs, for loops that count iterations.

    Unlike MMEngine's ``InfiniteSampler`` it provides the seed of each
    sample, so that a resumed training sees the same images as an
    uninterrupted one.

    Arguments are those of :class:`WeightedConcatSampler`.
    """

    _skipped = 0

    def set_epoch(self, epoch: int) -> None:
        """Do nothing; the iterator counts its epochs itself."""

    def skip(self, num_samples: int) -> None:
        """Skip samples; the loop calls it when it resumes.

        Args:
            num_samples: Number of samples that this rank has seen.

        Raises:
            ValueError: If it is negative.
        """
        if num_samples < 0:
            raise ValueError(f'num_samples must be >= 0, got {num_samples}')
        self._skipped = num_samples

    def __iter__(self) -> Iterator[int]:
        epoch, place = divmod(self._skipped, len(self))
        epochs = map(self._rank_indices, itertools.count(epoch))
        endless = itertools.chain.from_iterable(epochs)
        return itertools.islice(endless, place, None)
