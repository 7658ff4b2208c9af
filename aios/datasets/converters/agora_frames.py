# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Variants of AGORA's data frames: body models and pixels.

Symbols: ``N`` persons, ``J`` joints.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath

import numpy as np

_WIDTHS = (3840, 1280)
_TOLERANCE = 0.05


def is_smpl_frame(path: PurePath) -> bool:
    """Whether a data frame belongs to SMPL instead of SMPL-X.

    The release has ``train_SMPL/SMPL/train_0_withjv.pkl`` beside
    ``train_SMPLX/SMPLX/train_0_withjv.pkl``.

    Args:
        path: Relative to the release.
    """
    return any(part.split('_')[-1] == 'SMPL' for part in path.parts[:-1])


def pixel_width(
    images: Iterable[tuple[np.ndarray, np.ndarray]],
) -> int | None:
    """Width of the images that joints of a data frame refer to.

    Some frames have pixels at 3840 x 2160, some at 1280 x 720, independent
    of the image names.  The principal point of the joints' projection, which
    is the image center, distinguishes them.

    Args:
        images: For each image ``(N, J, 3)`` meters in the camera's axes and
            ``(N, J, 2)`` pixels.

    Returns:
        3840 or 1280; ``None`` if the joints do not determine it.

    Raises:
        ValueError: If the principal point fits neither width.
    """
    centers = [principal_x(joints, points) for joints, points in images]
    centers = [center for center in centers if np.isfinite(center)]
    if not centers:
        return None
    width = 2 * float(np.median(centers))
    for known in _WIDTHS:
        if abs(width - known) < _TOLERANCE * known:
            return known
    raise ValueError(
        'gt_joints_2d must match gt_joints_3d in images of 3840 x 2160 or '
        f'1280 x 720 pixels, but match an image width of {width:.0f}'
    )


def principal_x(joints: np.ndarray, points: np.ndarray) -> float:
    """Horizontal position of the principal point of an image.

    Args:
        joints: ``(N, J, 3)`` meters in the camera's axes.
        points: ``(N, J, 2)`` pixels.

    Returns:
        Pixels from the left; NaN if the joints do not determine it.
    """
    pixels = points[..., 0]
    front = np.isfinite(pixels) & np.isfinite(joints).all(-1)
    front &= joints[..., 2] > 0.1
    rays = joints[front, 0] / joints[front, 2]
    if not len(rays) or np.ptp(rays) < 1e-3:
        return np.nan
    return float(np.polyfit(rays, pixels[front], 1)[1])
