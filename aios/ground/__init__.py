# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Ground persons of a fixed camera on a common floor (docs/en/ground.md)."""

from .contacts import ContactOptions
from .floor import Floor
from .grounding import GroundError, GroundOptions
from .heights import set_heights, standing_heights
from .report import measure, size_notes, summarize
from .sequence import ground_sequence
from .solve import Beliefs

__all__ = [
    'Beliefs',
    'ContactOptions',
    'Floor',
    'GroundError',
    'GroundOptions',
    'ground_sequence',
    'measure',
    'set_heights',
    'size_notes',
    'standing_heights',
    'summarize',
]
