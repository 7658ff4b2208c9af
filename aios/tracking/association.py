# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Similarity of tracks and detections, and their assignment.

Symbols: ``M`` tracks, ``n`` persons of a frame.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from aios.structures import joint_mapping

BODY_JOINTS = joint_mapping('smplx_144', 'coco')
"""``(17,)`` the joints of COCO among the 144 of SMPL-X."""

_DEPTH_STD = 0.5  # of the logarithm
_MIN_DEPTH = 1e-3  # meters


def depth_similarity(depths: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Similarity of distances from the camera of all pairs.

    It distinguishes persons who occlude each other: their boxes overlap, but
    one is farther away.

    Args:
        depths: ``(M,)`` of tracks, meters.
        others: ``(n,)`` of persons, meters.

    Returns:
        ``(M, n)`` in [0, 1]; it depends on ratios, not on the scale.
    """
    a, b = (np.log(np.maximum(x, _MIN_DEPTH)) for x in (depths, others))
    return np.exp(-np.square((a[:, None] - b) / _DEPTH_STD) / 2)


def assign(
    similarity: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs with the largest sum of similarities.

    Args:
        similarity: ``(M, n)``.
        threshold: Pairs with a lower similarity are excluded.

    Returns:
        Rows and columns of the pairs, each ``(pairs,)``.
    """
    # Excluded pairs must not contribute to the sum either.
    gain = np.where(similarity >= threshold, similarity, 0)
    rows, columns = linear_sum_assignment(gain, maximize=True)
    kept = similarity[rows, columns] >= threshold
    return rows[kept], columns[kept]
