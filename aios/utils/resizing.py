# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Resize images for networks."""

from __future__ import annotations

import cv2
import numpy as np

from .choices import check_choice

RESIZE_BACKENDS = 'warp_affine', 'resize', 'area'


def keep_ratio_size(
    size: tuple[int, int],
    scale: tuple[int, int],
    rounding: str = 'floor',
    enlarged_scale: tuple[int, int] | None = None,
) -> tuple[int, int]:
    """Size of an image resized to a short side, within a long side.

    Args:
        size: ``(width, height)`` in pixels.
        scale: Limits ``(long side, short side)``, in any order.
        rounding: ``'floor'``: the published rule, which truncates the long
            side.  ``'round'``: mmdet's rule.
        enlarged_scale: Limits of enlarged images; default: ``scale``.  Images
            between these and ``scale`` are not resized.

    Returns:
        ``(width, height)``.

    Raises:
        ValueError: If ``rounding`` is unknown.
    """
    resized = _limited_size(size, scale, rounding)
    if enlarged_scale is None or resized[0] <= size[0]:
        return resized
    enlarged = _limited_size(size, enlarged_scale, rounding)
    return min(resized, max(size, enlarged))


def _limited_size(
    size: tuple[int, int], scale: tuple[int, int], rounding: str
) -> tuple[int, int]:
    short, long = sorted(size)
    limit, target = max(scale), min(scale)
    check_choice('size_rounding', rounding, ('floor', 'round'))
    if rounding == 'round':
        factor = min(limit / long, target / short)
        width, height = (max(1, int(s * factor + 0.5)) for s in size)
        return width, height
    if long / short * target > limit:
        target = max(1, round(limit * short / long))
    if target == short:
        return size
    width, height = size
    if width < height:
        return target, int(target * height / width)
    return int(target * width / height), target


def fit_size(
    size: tuple[int, int], frame: tuple[int, int], rounding: str = 'floor'
) -> tuple[int, int]:
    """Size of an image resized to fit into a frame, keeping the ratio.

    If one is portrait and the other landscape, the image is limited to the
    short side of the frame.

    Args:
        size: ``(width, height)`` in pixels.
        frame: ``(width, height)`` of the frame.
        rounding: See :func:`keep_ratio_size`.

    Returns:
        ``(width, height)``.
    """
    if (size[1] > size[0]) != (frame[1] > frame[0]):
        frame = (min(frame), min(frame))
    width, height = keep_ratio_size(size, frame, rounding)
    # With the published rule, rounded sides may be a pixel too long.
    return min(width, frame[0]), min(height, frame[1])


def resize_image(
    img: np.ndarray, size: tuple[int, int], backend: str
) -> np.ndarray:
    """Resize an image.

    Args:
        img: ``(H, W, 3)``.
        size: ``(width, height)``.
        backend: One of :data:`RESIZE_BACKENDS`, see
            :class:`aios.datasets.transforms.WholeBodyResize`.
    """
    height, width = img.shape[:2]
    if size == (width, height):
        return img
    if backend == 'resize' or (backend == 'area' and size[0] >= width):
        return cv2.resize(img, size, interpolation=cv2.INTER_LINEAR)
    if backend == 'area':
        return cv2.resize(img, size, interpolation=cv2.INTER_AREA)
    matrix = np.array([[size[0] / width, 0, 0], [0, size[1] / height, 0]])
    return cv2.warpAffine(img, matrix, size, flags=cv2.INTER_LINEAR)
