# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Upright axes of exported scenes."""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from aios.results import SequenceResult

_CAMERA_UP = np.array([0.0, -1, 0, 0])  # floor through a level camera


def world_axes(
    sequence: SequenceResult, up: str = 'z'
) -> tuple[Rotation, np.ndarray]:
    """Axes with the floor as the ground plane, else those of a level camera.

    Args:
        sequence: The results.
        up: ``'z'``: x right, y forward, z up; ``'y'``: x right, y up, z
            backward.

    Returns:
        Rotation from OpenCV's axes, and the position ``(3,)`` of the camera
        in meters: above the origin if the results have a floor, else there.
    """
    floor = _CAMERA_UP if sequence.floor is None else sequence.floor
    upward, forward = floor[:3], np.array([0.0, 0, 1])
    if abs(upward[2]) > 0.99:  # the camera looks straight down
        forward = _CAMERA_UP[:3]
    forward = forward - upward * (upward @ forward)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, upward)
    axes = {'z': [right, forward, upward], 'y': [right, upward, -forward]}[up]
    position = np.zeros(3)
    position['xyz'.index(up)] = floor[3]
    return Rotation.from_matrix(np.stack(axes)), position
