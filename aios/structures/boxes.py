# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Boxes as arrays: formats, clipping, the HumanData rules, IoU.

Boxes are ``(..., 4)`` NumPy arrays or tensors; results have the type of the
input.  ``xyxy`` are corners, ``xywh`` a corner and a size, ``cxcywh`` a
center and a size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from .arrays import library_of

if TYPE_CHECKING:
    from torch import Tensor

ArrayT = TypeVar('ArrayT', np.ndarray, 'Tensor')

_EPS = 1e-6  # of denominators


def _concat(*parts: Any) -> Any:
    return library_of(parts[0]).concatenate(parts, -1)


def xywh_to_xyxy(boxes: ArrayT) -> ArrayT:
    """Corner and size to corners."""
    return _concat(boxes[..., :2], boxes[..., :2] + boxes[..., 2:4])


def xyxy_to_xywh(boxes: ArrayT) -> ArrayT:
    """Corners to corner and size."""
    return _concat(boxes[..., :2], boxes[..., 2:4] - boxes[..., :2])


def xyxy_to_cxcywh(boxes: ArrayT) -> ArrayT:
    """Corners to center and size."""
    low, high = boxes[..., :2], boxes[..., 2:4]
    return _concat((low + high) / 2, high - low)


def cxcywh_to_xyxy(boxes: ArrayT) -> ArrayT:
    """Center and size to corners."""
    center, half = boxes[..., :2], boxes[..., 2:4] / 2
    return _concat(center - half, center + half)


def scale_boxes(boxes: ArrayT, ratio: float) -> ArrayT:
    """Scale ``xyxy`` boxes about their centers."""
    center = (boxes[..., :2] + boxes[..., 2:4]) / 2
    half = (boxes[..., 2:4] - boxes[..., :2]) * (ratio / 2)
    return _concat(center - half, center + half)


def clip_boxes(boxes: ArrayT, height: float, width: float) -> ArrayT:
    """Clip ``xyxy`` boxes to ``[0, width] × [0, height]``."""
    low_x = boxes[..., 0::2].clip(0, width)
    low_y = boxes[..., 1::2].clip(0, height)
    stacked: Any = library_of(boxes).stack((low_x, low_y), -1)
    return stacked.reshape(boxes.shape)


def boxes_overlap_image(
    boxes: ArrayT, height: float, width: float
) -> np.ndarray | Tensor:
    """Whether ``xyxy`` boxes overlap the open image rectangle.

    Returns:
        ``(...,)`` bool.
    """
    return (
        (boxes[..., 0] < width)
        & (boxes[..., 1] < height)
        & (boxes[..., 2] > 0)
        & (boxes[..., 3] > 0)
    )


def sanitize_xywh(
    boxes: np.ndarray,
    height: np.ndarray | float,
    width: np.ndarray | float,
    ratio: float = 1.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Turn annotated boxes into the boxes AiOS trains on.

    The rule, with its inclusive last pixel, is the published one.  NOTE: the
    right and bottom edges are measured from the *clipped* left and top
    edges, so a box that crosses those edges is shifted, not cut.

    Args:
        boxes: ``(..., 4)`` ``xywh`` in pixels.
        height: Image height, a number or ``(...,)``.
        width: Image width, a number or ``(...,)``.
        ratio: Scale about the center before clipping.

    Returns:
        ``(..., 4)`` float32 ``xyxy``, zeros where invalid, and ``(...,)``
        bool validity.
    """
    x, y, w, h = np.moveaxis(np.asarray(boxes, np.float64), -1, 0)
    x, y = x - (ratio - 1) * w / 2, y - (ratio - 1) * h / 2
    w, h = w * ratio, h * ratio
    x1, y1 = np.maximum(0, x), np.maximum(0, y)
    x2 = np.minimum(np.asarray(width) - 1, x1 + np.maximum(0, w - 1))
    y2 = np.minimum(np.asarray(height) - 1, y1 + np.maximum(0, h - 1))
    # Comparisons with NaN are false, so boxes with NaN are invalid.
    valid = np.asarray((w > 0) & (h > 0) & (x2 >= x1) & (y2 >= y1))
    xyxy = np.stack((x1, y1, x2 + 1, y2 + 1), axis=-1)
    return np.where(valid[..., None], xyxy, 0).astype(np.float32), valid


def points_to_box(
    points: np.ndarray, mask: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Tight ``xyxy`` boxes around points.

    Args:
        points: ``(..., K, 2)`` pixels.
        mask: ``(..., K)`` bool, points to enclose; default all.

    Returns:
        ``(..., 4)`` boxes, zeros for an empty mask, and ``(...,)`` bool
        validity.
    """
    points = np.asarray(points)
    if mask is None:
        mask = np.ones(points.shape[:-1], bool)
    used = np.asarray(mask, bool)[..., None]
    low = np.where(used, points, np.inf).min(-2, initial=np.inf)
    high = np.where(used, points, -np.inf).max(-2, initial=-np.inf)
    valid = np.asarray(used.any((-2, -1)))
    boxes = np.concatenate((low, high), axis=-1)
    return np.where(valid[..., None], boxes, 0).astype(points.dtype), valid


def _intersection_and_union(a: ArrayT, b: ArrayT) -> tuple[ArrayT, ArrayT]:
    library = library_of(a)
    low = library.maximum(a[..., :2], b[..., :2])
    high = library.minimum(a[..., 2:], b[..., 2:])
    inter = (high - low).clip(0).prod(-1)
    area_a = (a[..., 2:] - a[..., :2]).prod(-1)
    area_b = (b[..., 2:] - b[..., :2]).prod(-1)
    return inter, area_a + area_b - inter


def box_iou(a: ArrayT, b: ArrayT) -> ArrayT:
    """IoU of ``xyxy`` boxes that broadcast against each other.

    NOTE: 1e-6 is added to the union, as in the published losses; it matters
    for the tiny normalized boxes of hands.

    Args:
        a: ``(..., 4)``.
        b: ``(..., 4)``.

    Returns:
        ``(...,)`` in ``[0, 1]``.
    """
    inter, union = _intersection_and_union(a, b)
    return inter / (union + _EPS)


def pairwise_iou(
    boxes: np.ndarray, others: np.ndarray, pixel: float = 0.0
) -> np.ndarray:
    """Exact IoU of all pairs of ``xyxy`` boxes; see :func:`box_iou`.

    Args:
        boxes: ``(P, 4)``.
        others: ``(G, 4)``.
        pixel: Added to each width and height; 1 if the last row and column
            belong to the box (AGORA's boxes of keypoints).

    Returns:
        ``(P, G)`` float64 in [0, 1]; 0 if both boxes have no area.
    """
    a = np.asarray(boxes, np.float64)[:, None]
    b = np.asarray(others, np.float64)[None]
    low = np.maximum(a[..., :2], b[..., :2])
    high = np.minimum(a[..., 2:], b[..., 2:])
    inter = (high - low + pixel).clip(min=0).prod(-1)
    union = _area(a, pixel) + _area(b, pixel) - inter
    return np.where(union > 0, inter / np.where(union > 0, union, 1), 0)


def _area(boxes: np.ndarray, pixel: float) -> np.ndarray:
    return (boxes[..., 2:] - boxes[..., :2] + pixel).clip(min=0).prod(-1)


def generalized_box_iou(a: ArrayT, b: ArrayT) -> ArrayT:
    """Generalized IoU (Rezatofighi et al., CVPR 2019), see :func:`box_iou`.

    Returns:
        ``(...,)`` in ``[-1, 1]``.
    """
    inter, union = _intersection_and_union(a, b)
    library = library_of(a)
    low = library.minimum(a[..., :2], b[..., :2])
    high = library.maximum(a[..., 2:], b[..., 2:])
    hull = (high - low).clip(0).prod(-1)
    return inter / (union + _EPS) - (hull - union) / (hull + _EPS)


def suppress_overlaps(overlaps: ArrayT, keep: ArrayT) -> ArrayT:
    """Greedy non-maximum suppression of boxes sorted by score, best first.

    Args:
        overlaps: ``(B, n, n)`` bool.
        keep: ``(B, n)`` bool, candidates.

    Returns:
        ``(B, n)`` bool, candidates that no better kept box overlaps.
    """
    suppressed = library_of(overlaps).triu(overlaps, 1)
    for i in range(overlaps.shape[1]):
        keep = keep & ~(suppressed[:, i] & keep[:, i : i + 1])
    return keep
