# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Distances between predicted and true points of persons.

Joints or vertices: MPJPE and MPVPE are the same formula.  Whatever the unit
of the input, it is the unit of the result.

Symbols: ``N`` persons, ``K`` points.
"""

from __future__ import annotations

import numpy as np

from aios.structures.procrustes import procrustes_align


def align_roots(points: np.ndarray, roots: np.ndarray) -> np.ndarray:
    """Move each person's root to the origin.

    Args:
        points: ``(N, K, 3)``.
        roots: ``(N, 3)``.

    Returns:
        ``(N, K, 3)``.
    """
    return points - roots[:, None]


def mean_point_error(
    predicted: np.ndarray, true: np.ndarray, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Mean distance of the points of each person (MPJPE, MPVPE).

    Args:
        predicted: ``(N, K, 3)``.
        true: ``(N, K, 3)``.
        mask: ``(N, K)`` points that count; default all.

    Returns:
        ``(N,)`` float64 errors, and ``(N,)`` bool: persons of whom any point
        counts.  The error of the others is 0 and means nothing.
    """
    distance = np.linalg.norm(
        np.asarray(predicted, np.float64) - np.asarray(true, np.float64),
        axis=-1,
    )
    if mask is None:
        mask = np.ones(distance.shape, bool)
    return masked_mean(distance, np.asarray(mask, bool))


def procrustes_point_error(
    predicted: np.ndarray,
    true: np.ndarray,
    mask: np.ndarray | None = None,
    all_align: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`mean_point_error` after the best similarity (PA-MPJPE).

    Args:
        predicted: ``(N, K, 3)``.
        true: ``(N, K, 3)``.
        mask: ``(N, K)`` points that count; default all.
        all_align: Points that do not count take part in the alignment
            (UBody); otherwise the same points align and count.

    Returns:
        As :func:`mean_point_error`.
    """
    transform = procrustes_align(predicted, true, None if all_align else mask)
    aligned = transform(np.asarray(predicted, np.float64))
    return mean_point_error(aligned, true, mask)


def masked_mean(
    values: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean of what counts along the last axis.

    Args:
        values: ``(..., K)``; may be NaN where it does not count.
        mask: ``(..., K)`` bool.

    Returns:
        ``(...,)`` means, 0 where nothing counts, and ``(...,)`` bool where
        anything does.
    """
    count = mask.sum(-1)
    total = np.where(mask, values, 0).sum(-1)
    return total / np.maximum(count, 1), count > 0
