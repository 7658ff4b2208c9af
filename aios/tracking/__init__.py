# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Tracking and temporal smoothing (docs/en/inference.md)."""

from .appearance import with_appearance
from .gaps import fill_gaps
from .one_euro import OneEuroOptions, RotationFilter, VectorFilter
from .selection import LargestPerson, largest_person
from .smoothing import OneEuroSmoother, SmoothingOptions, smooth_sequence
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
    'smooth_sequence',
    'with_appearance',
]
