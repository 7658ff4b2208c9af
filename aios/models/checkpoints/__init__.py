# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Checkpoints of the published AiOS and ED-Pose, converted or as they are.

Importing this package makes MMEngine read local checkpoint files with
:func:`load_from_local`.
"""

from .conversion import Conversion, convert, export, is_official
from .loading import check_state_dict, install_loader, load_from_local
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
    'load_from_local',
    'read_checkpoint',
    'select_weights',
]

install_loader()
