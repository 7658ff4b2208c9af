# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Pose correctives of the free body, computed instead of stored (60 MB).

The SMPL family adds ``posedirs @ (R - I)`` to the rest shape before linear
blend skinning (Loper et al., "SMPL", 2015, Sec. 3). Here these directions
are fitted so that bent and twisted joints keep their volume: the target is
the same skeleton with rotations blended as quaternions (as dual quaternion
skinning does about one center), which avoids collapsing elbows and pinched
shoulders.

When one joint rotates by ``R``, a vertex with skinning weight ``s`` moves by
``B = (1 - s) I + s R`` about the joint. The target motion depends only on
``s``, ``R`` and the offset ``d`` from the joint and is linear in ``d``, so
all vertices share a small table over ``s``.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from aios.structures import SMPLX_55

_NUM_SHARES = 21
_NUM_SAMPLES = 90
_RIDGE = 3e-3
_DECIMALS = 4  # makes files independent of the linear algebra library
_MIRROR = np.diag([-1.0, 1.0, 1.0])


class _Range(NamedTuple):
    """Range of motion for the fit.

    Attributes:
        joints: Left or middle joints with this range.
        low: Lowest axis-angle (radians).
        high: Highest axis-angle.
        strength: 0 is linear blend skinning, 1 is quaternion blending.
    """

    joints: tuple[int, ...]
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    strength: float = 0.6


# The jaw and the eyeballs move rigidly and have none. A higher strength of
# the shoulder would let the armpit swell when the arm is raised.
_HIP = _Range((1,), (-1.9, -0.6, -0.6), (0.5, 0.6, 0.9))
_KNEE = _Range((4,), (0.0, -0.2, -0.1), (2.3, 0.2, 0.1))
_FOOT = _Range((7, 10), (-0.7, -0.4, -0.4), (0.7, 0.4, 0.4))
_SPINE = _Range((3, 6, 9), (-0.5, -0.5, -0.5), (0.7, 0.5, 0.5))
_NECK = _Range((12, 15), (-0.6, -0.8, -0.5), (0.6, 0.8, 0.5))
_COLLAR = _Range((13,), (-0.3, -0.5, -0.3), (0.3, 0.4, 0.6))
_SHOULDER = _Range((16,), (-1.0, -1.6, -1.4), (1.0, 0.6, 1.3), 0.35)
_ELBOW = _Range((18,), (-1.2, -2.4, -0.2), (0.9, 0.1, 0.2))
_WRIST = _Range((20,), (-1.0, -0.6, -1.2), (1.0, 0.6, 1.2))
_FINGERS = _Range(tuple(range(25, 37)), (-0.2, -0.3, -1.8), (0.2, 0.3, 0.3))
_THUMB = _Range((37, 38, 39), (-0.5, -0.3, -0.6), (0.6, 1.1, 0.5))
_RANGES: tuple[_Range, ...] = (
    *(_HIP, _KNEE, _FOOT, _SPINE, _NECK, _COLLAR, _SHOULDER),
    *(_ELBOW, _WRIST, _FINGERS, _THUMB),
)
_RIGHT_OF_LEFT = dict(SMPLX_55.flip_pairs)


def pose_correctives(
    template: np.ndarray,
    weights: np.ndarray,
    joints: np.ndarray,
    parents: np.ndarray,
) -> np.ndarray:
    """Return the pose-corrective directions.

    Args:
        template: Rest vertices (V, 3), meters.
        weights: Skinning weights (V, J).
        joints: Rest joints (J, 3), meters.
        parents: Parent of every joint (J,), -1 for the root.

    Returns:
        (V, 3, 9 (J - 1)) float64, in the order of the flattened rotation
        matrices of joints 1 .. J-1.
    """
    directions = np.zeros((*template.shape, 9 * (len(parents) - 1)))
    below = _descendants(parents)
    for motion in _RANGES:
        table = _corrective_table(motion)
        for joint in motion.joints:
            tables = {joint: 0.5 * (table + _mirrored(table))}
            if joint in _RIGHT_OF_LEFT:
                right = _RIGHT_OF_LEFT[joint]
                tables = {joint: table, right: _mirrored(table)}
            for index, entries in tables.items():
                share = weights @ below[index]
                moved = np.flatnonzero((share > 0.005) & (share < 0.995))
                columns = slice(9 * (index - 1), 9 * index)
                directions[moved, :, columns] = _apply(
                    entries, share[moved], template[moved] - joints[index]
                )
    return directions


def _descendants(parents: np.ndarray) -> np.ndarray:
    """(J, J) one where the column joint is the row joint or below it."""
    below = np.eye(len(parents))
    for joint in range(len(parents) - 1, 0, -1):
        below[parents[joint]] += below[joint]
    return below


def _apply(
    table: np.ndarray, share: np.ndarray, offset: np.ndarray
) -> np.ndarray:
    """Directions (n, 3, 9) of vertices, interpolated by their shares."""
    position = share * (_NUM_SHARES - 1)
    lower = np.minimum(position.astype(int), _NUM_SHARES - 2)
    fraction = (position - lower)[:, None, None, None]
    entries = (1 - fraction) * table[lower] + fraction * table[lower + 1]
    return np.einsum('nkab,nb->nak', entries, offset)


def _mirrored(table: np.ndarray) -> np.ndarray:
    """Table of the joint on the other side."""
    sign = np.outer(np.diag(_MIRROR), np.diag(_MIRROR))
    return table * sign.reshape(9, 1, 1) * sign


def _corrective_table(motion: _Range) -> np.ndarray:
    """Fit (S, 9, 3, 3) matrices from offsets to directions, by share."""
    draws = np.random.RandomState(0).uniform(size=(_NUM_SAMPLES, 3))
    low, high = np.array(motion.low), np.array(motion.high)
    vectors = low + (high - low) * draws
    angle = np.linalg.norm(vectors, axis=1)
    axis = vectors / angle[:, None]
    rotation = Rotation.from_rotvec(vectors).as_matrix()
    features = (rotation - np.eye(3)).reshape(-1, 9)
    table = np.zeros((_NUM_SHARES, 9, 3, 3))
    for i, share in enumerate(np.linspace(0, 1, _NUM_SHARES)[1:-1], 1):
        blend = (1 - share) * np.eye(3) + share * rotation
        half_angle = np.arctan2(
            share * np.sin(angle / 2),
            1 - share + share * np.cos(angle / 2),
        )
        partial = Rotation.from_rotvec(axis * 2 * half_angle[:, None])
        target = partial.as_matrix() - blend
        table[i] = _fit(features, blend, motion.strength * target)
    return np.round(table, _DECIMALS)


def _fit(
    features: np.ndarray, blend: np.ndarray, target: np.ndarray
) -> np.ndarray:
    """Least squares for ``blend @ sum_k features_k M_k = target``.

    Args:
        features: (N, 9).
        blend: (N, 3, 3) linear part of the blended transform.
        target: (N, 3, 3) correction after skinning, per unit offset.

    Returns:
        The matrices M, (9, 3, 3).
    """
    matrix = np.einsum('nk,nab->nakb', features, blend).reshape(-1, 27)
    normal = matrix.T @ matrix + _RIDGE * len(features) * np.eye(27)
    solution = np.linalg.solve(normal, matrix.T @ target.reshape(-1, 3))
    return solution.reshape(9, 3, 3)
