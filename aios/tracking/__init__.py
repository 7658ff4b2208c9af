# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Tracking and temporal smoothing (docs/en/inference.md)."""

from .appearance import with_appearance
from .gaps import fill_gaps
from .one_euro import OneEuroOptions, RotationFilter, VectorFilter
from .selection import LargestPerson, largest_person
from .sequence_smoothing import mean_shapes, smooth_frames, smooth_sequence
from .smoothing import OneEuroSmoother, SmoothingOptions
from .tracker import Tracker

__all__ = [
    'LargestPerson',
    'OneEuroOptions',
    'OneEuroSmoother',
    'RotationFilter',
    'SmoothingOptions',
    'Tracker',
    'VectorFilter',
    'fill_gaps',
    'largest_person',
    'mean_shapes',
    'smooth_frames',
    'smooth_sequence',
    'with_appearance',
]
