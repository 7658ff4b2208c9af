# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Annotation files, data sets and their transforms."""

from .human_data import HumanData, HumanDataError
from .human_dataset import HumanDataset
from .label_store import LabelStore
from .schema import Fault

__all__ = [
    'Fault',
    'HumanData',
    'HumanDataError',
    'HumanDataset',
    'LabelStore',
]
