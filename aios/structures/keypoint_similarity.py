# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Object keypoint similarity (OKS) between detected persons.

See https://cocodataset.org/#keypoints-eval.
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
    area = area + _MIN_AREA
    total: ArrayT = 0 * area
    # The loop keeps the constants Python numbers, without device copies.
    for index, sigma in enumerate(COCO_SIGMAS):
        point = points[..., index, :]
        offsets = point[..., :, None, :] - point[..., None, :, :]
        squared = (offsets**2).sum(-1)
        total = total + library.exp(-squared / (2 * area * (2 * sigma) ** 2))
    return total / len(COCO_SIGMAS)
