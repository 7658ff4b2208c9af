# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Which images a training step sees."""

from .weighted_concat_sampler import (
    InfiniteWeightedConcatSampler,
    WeightedConcatSampler,
)

__all__ = ['InfiniteWeightedConcatSampler', 'WeightedConcatSampler']
