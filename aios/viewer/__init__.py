# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Write results as one HTML file for any browser, without a network."""

from .media import ImageTrack, make_image_track
from .page import check_animation, describe_persons, write_viewer

__all__ = [
    'ImageTrack',
    'check_animation',
    'describe_persons',
    'make_image_track',
    'write_viewer',
]
