# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Annotation files, data sets and their transforms."""

from .faults import Fault, HumanDataError
from .human_data import HumanData
from .human_dataset import HumanDataset
from .label_store import LabelStore
from .reproducible import SeededConcatDataset

__all__ = [
    'Fault',
    'HumanData',
    'HumanDataError',
    'HumanDataset',
    'LabelStore',
    'SeededConcatDataset',
]
