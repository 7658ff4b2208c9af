# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Boxes of crowds: nobody in them is annotated, but there are persons.

``P`` persons and crowds, ``M`` images that stay, ``Q`` crowds in them.
"""

from __future__ import annotations

import numpy as np


def crowd_columns(
    is_crowd: np.ndarray,
    image: np.ndarray,
    boxes: np.ndarray,
    kept_images: np.ndarray,
) -> dict[str, np.ndarray]:
    """Columns with the crowds of images.

    Args:
        is_crowd: ``(P,)`` bool.
        image: ``(P,)`` number of each row's image, ascending.
        boxes: ``(P, 4)`` xyxy pixels.
        kept_images: ``(M,)`` numbers of the images that stay, ascending.

    Returns:
        ``ignored_bboxes`` ``(Q, 4)`` and ``image_ignored`` ``(M, 2)``, the
        ``[start, end)`` of each image.
    """
    rows = np.flatnonzero(is_crowd & np.isin(image, kept_images))
    size = int(kept_images.max(initial=-1)) + 1
    counts = np.bincount(image[rows], minlength=size)[kept_images]
    ends = np.cumsum(counts)
    return {
        'ignored_bboxes': boxes[rows].astype(np.float32),
        'image_ignored': np.stack((ends - counts, ends), axis=1),
    }
