# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The network; see ``docs/en/notes/network.md``."""

from .detectors import AiOS
from .heads import AiOSHead
from .layers import (
    DeformableEncoder,
    DenoisingQueryGenerator,
    ProgressiveDecoder,
)

__all__ = [
    'AiOS',
    'AiOSHead',
    'DeformableEncoder',
    'DenoisingQueryGenerator',
    'ProgressiveDecoder',
]
