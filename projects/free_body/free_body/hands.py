# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Mean pose and pose basis of the left hand (axis-angle, 15 joints).

They are designed manually: a relaxed curl, and six common movements completed
to an orthonormal basis. The right hand is the mirror image.
"""

from __future__ import annotations

import numpy as np

from .skeleton import FINGERS

_CURL = (0.28, 0.42, 0.25)  # radians at the three joints of a finger
_CURL_GROWTH = 0.12  # the fingers towards the little one curl more
_THUMB_REST = [[0.15, 0.25, -0.05], [0.0, 0.15, -0.05], [0.0, 0.2, -0.05]]
_THUMB = FINGERS.index('thumb')
_SPREAD = {'index': -1.0, 'middle': -0.2, 'pinky': 1.0, 'ring': 0.5}
_WAVE = {'index': -1.0, 'middle': 0.5, 'pinky': 1.0, 'ring': -1.0}


def hand_mean() -> np.ndarray:
    """Relaxed left hand (45,)."""
    pose = np.zeros((5, 3, 3))
    for finger in range(4):
        growth = 1 + _CURL_GROWTH * finger
        pose[finger, :, 2] = -np.array(_CURL) * growth
    pose[_THUMB] = _THUMB_REST
    return pose.ravel()


def hand_components() -> np.ndarray:
    """Orthonormal basis (45, 45) of left hand poses; rows are components."""
    moves = np.zeros((6, 5, 3, 3))
    moves[0, :_THUMB, :, 2] = -1  # make a fist
    moves[1, _THUMB] = [0.3, 0.8, -0.2]  # thumb across the palm
    for finger, name in enumerate(FINGERS[:_THUMB]):
        moves[2, finger, 0, 1] = _SPREAD[name]
        moves[3, finger, 0, 2] = -1  # bend at the knuckles
        moves[4, finger, 1:, 2] = _WAVE[name]
    moves[5, FINGERS.index('index'), :, 2] = -1  # point, the other way round
    moves[5, FINGERS.index('pinky'), :, 2] = 1
    raw = np.concatenate([moves.reshape(6, 45), np.eye(45)])
    basis: list[np.ndarray] = []
    for row in raw:  # Gram-Schmidt preserves the first movements
        for done in basis:
            row = row - done * (row @ done)
        if np.linalg.norm(row) > 1e-6:
            basis.append(row / np.linalg.norm(row))
    return np.array(basis)
