# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Annotation files, datasets and their transforms."""

from .aios_cache import AiOSCacheDataset
from .benchmarks import (
    AGORADataset,
    ARCTICDataset,
    BEDLAMDataset,
    COCONADataset,
    EgoBodyDataset,
    EHFDataset,
    EMDBDataset,
    PW3DDataset,
    RICHDataset,
    UBodyDataset,
)
from .coco_images import CocoImageDataset
from .faults import Fault, HumanDataError
from .human_data import HumanData
from .human_dataset import HumanDataset
from .label_options import LabelOptions
from .label_store import LabelStore
from .media import MediaDataset
from .reproducible import SeededConcatDataset

__all__ = [
    'AGORADataset',
    'ARCTICDataset',
    'AiOSCacheDataset',
    'BEDLAMDataset',
    'COCONADataset',
    'CocoImageDataset',
    'EHFDataset',
    'EMDBDataset',
    'EgoBodyDataset',
    'Fault',
    'HumanData',
    'HumanDataError',
    'HumanDataset',
    'LabelOptions',
    'LabelStore',
    'MediaDataset',
    'PW3DDataset',
    'RICHDataset',
    'SeededConcatDataset',
    'UBodyDataset',
]
