# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Safe reading of checkpoints, and conversion of official ones."""

from .configs import parse_config, read_stored_config
from .conversion import Conversion, convert, export, is_official
from .loading import check_state_dict, install_loader, load_checkpoint
from .reading import CheckpointError, read_checkpoint, select_weights
from .records import IgnoredObject

__all__ = [
    'CheckpointError',
    'Conversion',
    'IgnoredObject',
    'check_state_dict',
    'convert',
    'export',
    'install_loader',
    'is_official',
    'load_checkpoint',
    'parse_config',
    'read_checkpoint',
    'read_stored_config',
    'select_weights',
]
