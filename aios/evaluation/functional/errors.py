# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Distances between predicted and true points of persons.

MPJPE (joints) and MPVPE (vertices) are the same formula.  Errors have the
unit of the input.

Symbols: ``N`` persons, ``K`` points.
"""

from __future__ import annotations

import numpy as np

from aios.structures.procrustes import procrustes_align

MILLIMETERS = 1000
"""Per meter."""

MAX_EXACT_POINTS = 3
"""Up to so many points are fitted almost exactly by a similarity, so that
errors after it are meaningless."""


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
        ``(N,)`` float64 errors, and ``(N,)`` bool: persons with at least one
        point that counts.  Errors of other persons are 0 and meaningless.
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
        all_align: Align by all points (UBody), not only by those that count.

    Returns:
        As :func:`mean_point_error`; persons aligned by only
        :data:`MAX_EXACT_POINTS` points have no known error.
    """
    align_mask = None if all_align else mask
    transform = procrustes_align(predicted, true, align_mask)
    aligned = transform(np.asarray(predicted, np.float64))
    error, known = mean_point_error(aligned, true, mask)
    if align_mask is not None:
        known &= np.sum(align_mask, axis=-1) > MAX_EXACT_POINTS
    return error, known


def masked_mean(
    values: np.ndarray, mask: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the masked values along the last axis.

    Args:
        values: ``(..., K)``; may be NaN outside the mask.
        mask: ``(..., K)`` bool.

    Returns:
        ``(...,)`` means, 0 where the mask is empty, and ``(...,)`` bool,
        true where it is not.
    """
    count = mask.sum(-1)
    total = np.where(mask, values, 0).sum(-1)
    return total / np.maximum(count, 1), count > 0
