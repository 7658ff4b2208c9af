# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Object keypoint similarity, for match costs and for the loss.

See https://cocodataset.org/#keypoints-eval.
"""

from __future__ import annotations

from torch import Tensor

_EPS = 1e-6
_MIN_AREA = 1e-9


def object_keypoint_similarity(
    points: Tensor,
    target: Tensor,
    visible: Tensor,
    area: Tensor,
    sigmas: Tensor,
) -> Tensor:
    """Similarity of two sets of ``K`` keypoints.

    Arguments broadcast.  The result is clamped to at least 1e-6, as
    published.

    Args:
        points: ``(..., K, 2)``.
        target: ``(..., K, 2)`` in the same unit.
        visible: ``(..., K)`` weights.
        area: ``(...,)`` area of the object, in squared units of the points.
        sigmas: ``(K,)``.

    Returns:
        ``(...,)`` in [1e-6, 1].
    """
    squared = (points - target).square().sum(-1)
    area = area.clamp(min=_MIN_AREA)[..., None]
    similarity = (-squared / (2 * area * (2 * sigmas).square())).exp()
    weighted = (similarity * visible).sum(-1)
    return (weighted / (visible.sum(-1) + _EPS)).clamp(min=_EPS)
