# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Results as one HTML file that any browser plays, without a network."""

from .media import PictureTrack, make_picture_track
from .page import describe_people, write_viewer

__all__ = [
    'PictureTrack',
    'describe_people',
    'make_picture_track',
    'write_viewer',
]
