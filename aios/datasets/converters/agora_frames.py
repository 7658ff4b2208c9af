# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What AGORA's data frames come in: folders of other models, other pixels.

``N`` persons, ``J`` joints.
"""

from __future__ import annotations

from pathlib import PurePath

import numpy as np

__all__ = ['is_smpl_frame', 'pixel_width']

_WIDTHS = (3840, 1280)
_TOLERANCE = 0.05


def is_smpl_frame(path: PurePath) -> bool:
    """Whether a data frame lies among those of SMPL.

    The release has ``train_SMPL/SMPL/train_0_withjv.pkl`` beside
    ``train_SMPLX/SMPLX/train_0_withjv.pkl``.

    Args:
        path: Relative to the release.
    """
    return any(part.split('_')[-1] == 'SMPL' for part in path.parts[:-1])


def pixel_width(
    joints: np.ndarray, points: np.ndarray, names: np.ndarray
) -> int:
    """Width of the pictures that joints of a data frame refer to.

    Some frames have pixels of 3840 x 2160, some of 1280 x 720.  The
    projection of the joints says which: its principal point is in the middle.

    Args:
        joints: ``(N, J, 3)`` metres in the camera's axes.
        points: ``(N, J, 2)`` pixels.
        names: ``(N,)`` picture of each person.

    Returns:
        3840 or 1280.

    Raises:
        ValueError: If the principal point is that of other pictures.
    """
    rays = np.asarray(joints[..., 0], float) / joints[..., 2]
    pixels = np.asarray(points[..., 0], float)
    centres = []
    for name in np.unique(names):
        mine = names == name
        ray, pixel = rays[mine].ravel(), pixels[mine].ravel()
        spread = ray - ray.mean()
        focal = spread @ pixel / (spread @ spread)
        centres.append(pixel.mean() - focal * ray.mean())
    width = 2 * float(np.median(centres))
    for known in _WIDTHS:
        if abs(width - known) < _TOLERANCE * known:
            return known
    raise ValueError(
        f'gt_joints_2d are pixels of pictures {width:.0f} wide, must be '
        f'{" or ".join(map(str, _WIDTHS))}'
    )
