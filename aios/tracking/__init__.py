# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Who is who over time (docs/en/tracking.md)."""

from .selection import LargestPerson, largest_person, largest_track
from .tracker import Tracker

__all__ = ['LargestPerson', 'Tracker', 'largest_person', 'largest_track']
