# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Converters from official releases of datasets to HumanData files.

``tools/dataset_converters/convert_dataset.py`` is the command;
``docs/en/datasets.md`` lists the downloads.
"""

from .agora import AGORAConverter
from .arctic import ARCTICConverter
from .base import Converter, ConverterError, Summary, convert
from .bedlam import BEDLAMConverter
from .cli import run_command
from .coco import COCOConverter
from .egobody import EgoBodyConverter
from .ehf import EHFConverter
from .rich import RICHConverter
from .smpl import EMDBConverter, PW3DConverter
from .ubody import UBodyConverter

__all__ = [
    'AGORAConverter',
    'ARCTICConverter',
    'BEDLAMConverter',
    'COCOConverter',
    'Converter',
    'ConverterError',
    'EHFConverter',
    'EMDBConverter',
    'EgoBodyConverter',
    'PW3DConverter',
    'RICHConverter',
    'Summary',
    'UBodyConverter',
    'convert',
    'run_command',
]
