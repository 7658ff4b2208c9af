# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Similarity of the keypoints of detected persons.

For the object keypoint similarity (OKS) see
https://cocodataset.org/#keypoints-eval.
"""

from __future__ import annotations

from .arrays import library_of
from .boxes import ArrayT

# COCO's per-keypoint constants.
COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035),
    *(0.079, 0.079, 0.072, 0.072, 0.062, 0.062),
    *(0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)
_MIN_AREA = 1e-9
_HEAD = slice(0, 5)  # nose, eyes, ears


def oks(points: ArrayT, others: ArrayT, areas: ArrayT) -> ArrayT:
    """Object keypoint similarity of pairs of persons.

    Args:
        points: ``(..., 17, 2)`` pixels, in COCO's order.
        others: Other persons, broadcast against ``points``.
        areas: ``(...)`` box areas, square pixels.

    Returns:
        ``(...)`` in [0, 1].
    """
    library = library_of(points)
    areas = areas + _MIN_AREA
    total: ArrayT = 0 * areas
    # The loop keeps the constants Python numbers, without device copies.
    for index, sigma in enumerate(COCO_SIGMAS):
        offsets = points[..., index, :] - others[..., index, :]
        squared = (offsets**2).sum(-1)
        total = total + library.exp(-squared / (2 * areas * (2 * sigma) ** 2))
    return total / len(COCO_SIGMAS)


def pairwise_oks(points: ArrayT, areas: ArrayT) -> ArrayT:
    """Similarity of all pairs of persons of an image.

    Args:
        points: ``(..., n, 17, 2)`` pixels, in COCO's order.
        areas: ``(..., n)`` box areas, square pixels; a pair uses the smaller
            one.

    Returns:
        ``(..., n, n)`` in [0, 1].
    """
    library = library_of(points)
    area = library.minimum(areas[..., :, None], areas[..., None, :])
    return oks(points[..., :, None, :, :], points[..., None, :, :, :], area)


def head_distances(points: ArrayT) -> ArrayT:
    """Distances between the heads of all pairs of persons of an image.

    Args:
        points: ``(..., n, 17, 2)`` pixels, in COCO's order.

    Returns:
        ``(..., n, n)`` distances of the mean head keypoints, relative to the
        size of the larger head: the longest distance of two of its keypoints.
    """
    library = library_of(points)
    head = points[..., _HEAD, :]
    spans = _squared_distances(head)
    size = library.amax(spans.reshape(*spans.shape[:-2], -1), -1)
    size = library.maximum(size[..., :, None], size[..., None, :])
    distances = _squared_distances(head.mean(-2))
    result: ArrayT = (distances / (size + _MIN_AREA)) ** 0.5
    return result


def _squared_distances(points: ArrayT) -> ArrayT:
    """``(..., n, n)`` between points ``(..., n, 2)``."""
    offsets = points[..., :, None, :] - points[..., None, :, :]
    result: ArrayT = (offsets**2).sum(-1)
    return result
