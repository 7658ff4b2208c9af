# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The network; see ``docs/en/notes/network.md``."""

# First, because it makes mmcv work without compiled operators.
import aios.registry  # noqa: F401

from .backbones import MoveNet
from .data_preprocessors import WholeBodyDataPreprocessor
from .detectors import AiOS
from .heads import AiOSHead
from .layers import (
    DeformableEncoder,
    DenoisingQueryGenerator,
    ProgressiveDecoder,
)
from .losses import WholeBodyCriterion
from .necks import SimpleFeaturePyramid
from .task_modules import BatchHungarianAssigner

__all__ = [
    'AiOS',
    'AiOSHead',
    'BatchHungarianAssigner',
    'DeformableEncoder',
    'DenoisingQueryGenerator',
    'MoveNet',
    'ProgressiveDecoder',
    'SimpleFeaturePyramid',
    'WholeBodyCriterion',
    'WholeBodyDataPreprocessor',
]
