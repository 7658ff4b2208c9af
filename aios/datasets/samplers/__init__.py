# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Samplers of training images."""

from .weighted_concat_sampler import (
    InfiniteWeightedConcatSampler,
    WeightedConcatSampler,
)

__all__ = ['InfiniteWeightedConcatSampler', 'WeightedConcatSampler']
