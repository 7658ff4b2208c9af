# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Batched similarity Procrustes alignment.

Symbols: ``K`` points of a set.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class SimilarityTransform:
    """``x -> scale · R x + translation``.

    Args:
        scale: ``(...,)``, not negative.
        rotation: ``(..., 3, 3)``, determinant +1.
        translation: ``(..., 3)``.
    """

    scale: np.ndarray
    rotation: np.ndarray
    translation: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Transform ``(..., K, 3)`` points."""
        rotated = points @ np.swapaxes(self.rotation, -1, -2)
        scaled = self.scale[..., None, None] * rotated
        return scaled + self.translation[..., None, :]


def nearest_rotation(matrix: np.ndarray) -> np.ndarray:
    """The rotation with the least squared distance from a matrix.

    Args:
        matrix: ``(..., 3, 3)``, for example a mean of rotations.

    Returns:
        ``(..., 3, 3)``, determinant +1.
    """
    u, singular, vt = np.linalg.svd(matrix)
    sign = np.ones_like(singular)
    sign[..., 2] = np.where(np.linalg.det(u @ vt) < 0, -1, 1)
    rotation: np.ndarray = (u * sign[..., None, :]) @ vt
    return rotation


def procrustes_align(
    source: np.ndarray,
    target: np.ndarray,
    mask: np.ndarray | None = None,
    with_scale: bool = True,
) -> SimilarityTransform:
    """Least-squares similarity transform from point sets to their targets.

    Rotation, scale and translation are free (Umeyama, TPAMI 1991);
    reflections are not allowed.  Sets that determine no rotation (one point,
    or all the same) get one of the best; a set without points gets the
    identity.

    Args:
        source: ``(..., K, 3)``.
        target: ``(..., K, 3)``.
        mask: ``(..., K)`` bool, points to use; default all.
        with_scale: Whether the scale is free; otherwise it is 1.

    Returns:
        One transform per set, float64.
    """
    source = np.asarray(source, np.float64)
    target = np.asarray(target, np.float64)
    if mask is None:
        mask = np.ones(source.shape[:-1], bool)
    weight = np.asarray(mask, bool).astype(np.float64)[..., None]
    # Masked points may be NaN.
    source = np.where(weight > 0, source, 0)
    target = np.where(weight > 0, target, 0)
    count = np.maximum(weight.sum(-2), 1)
    source_mean = source.sum(-2) / count
    target_mean = target.sum(-2) / count
    centered = (source - source_mean[..., None, :]) * weight
    centered_target = (target - target_mean[..., None, :]) * weight

    covariance = np.swapaxes(centered_target, -1, -2) @ centered
    rotation = nearest_rotation(covariance)

    spread = np.square(centered).sum((-2, -1))
    fit = (rotation * covariance).sum((-2, -1))
    # Rounding errors of the mean are not spread.
    largest = np.abs(source).max((-2, -1), initial=0)
    noise = np.square(np.finfo(np.float64).eps * largest) * count[..., 0]
    has_spread = (spread > 3 * noise) & with_scale
    scale = np.where(has_spread, fit / np.where(has_spread, spread, 1), 1)
    rotated_mean = (rotation @ source_mean[..., None])[..., 0]
    translation = target_mean - scale[..., None] * rotated_mean
    return SimilarityTransform(scale, rotation, translation)
