# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Similarity of tracks and detections, and their assignment.

Symbols: ``M`` tracks, ``n`` persons of a frame, ``K`` = 17 keypoints.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from aios.structures import joint_mapping
from aios.structures.keypoint_similarity import COCO_SIGMAS

BODY_JOINTS = joint_mapping('smplx_144', 'coco')
"""``(17,)`` the joints of COCO among the 144 of SMPL-X."""

_SIGMAS = np.array(COCO_SIGMAS)
_EPS = 1e-9
_DEPTH_STD = 0.5  # of the logarithm
_MIN_DEPTH = 1e-3  # meters


def keypoint_similarity(
    points: np.ndarray, others: np.ndarray, areas: np.ndarray
) -> np.ndarray:
    """Object keypoint similarity (OKS) of all pairs.

    It distinguishes persons whose boxes coincide: two persons who pass each
    other face different ways, so the left shoulder of one is at the right
    shoulder of the other.

    Args:
        points: ``(M, K, 2)``.
        others: ``(n, K, 2)``.
        areas: ``(M,)`` of the persons' boxes.

    Returns:
        ``(M, n)`` in [0, 1].
    """
    squared = np.square(points[:, None] - others[None]).sum(-1)
    scale = 2 * np.maximum(areas, _EPS)[:, None, None]
    return np.exp(-squared / (scale * np.square(2 * _SIGMAS))).mean(-1)


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
