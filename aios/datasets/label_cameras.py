# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Cameras that a HumanData file tells of.

``P`` persons, ``M`` images.
"""

from __future__ import annotations

import numpy as np

from .human_data import HumanData


def person_cameras(
    data: HumanData, rows: np.ndarray, sizes: np.ndarray
) -> np.ndarray:
    """Cameras of persons.

    Args:
        data: The file; ``meta`` has cameras by row, or ``misc`` one for all.
        rows: ``(P,)`` rows of the persons.
        sizes: ``(P, 2)`` height and width of their images, the principal
            point is in their middle if the file does not say.

    Returns:
        ``(P, 4)`` fx, fy, cx, cy, NaN without a camera.
    """
    focal = _per_row(data, 'focal_length', rows)
    if focal is None:
        return np.full((len(rows), 4), np.nan)
    centre = _per_row(data, 'principal_point', rows)
    if centre is None:
        centre = sizes[:, ::-1] / 2
    return np.hstack((focal, centre))


def image_cameras(cameras: np.ndarray, image_rows: np.ndarray) -> np.ndarray:
    """Cameras of images.

    An image whose persons have different cameras (virtual ones, made for
    crops) has none.

    Args:
        cameras: ``(P, 4)``, see :func:`person_cameras`.
        image_rows: ``(M, 2)`` ``[start, end)`` persons of each image.

    Returns:
        ``(M, 4)``, NaN without a camera.
    """
    first = cameras[image_rows[:, 0]]
    counts = image_rows[:, 1] - image_rows[:, 0]
    same = np.isclose(cameras, np.repeat(first, counts, axis=0)).all(axis=1)
    if len(image_rows):
        shared = np.logical_and.reduceat(same, image_rows[:, 0])
        first[~shared] = np.nan
    return first


def _per_row(
    data: HumanData, name: str, rows: np.ndarray
) -> np.ndarray | None:
    """``(P, 2)`` pair from ``meta`` (per row) or ``misc`` (for all)."""
    value = np.asarray(data.get('meta', {}).get(name, ()))
    if value.shape[:1] == (len(data),) and value.size:
        pairs = np.asarray(value, np.float64).reshape(len(data), -1)[rows]
    else:
        value = np.asarray(data.get('misc', {}).get(name, ()))
        if value.size not in (1, 2) or value.dtype.kind not in 'fiu':
            return None
        pairs = np.asarray(value, np.float64).reshape(1, -1)
    return np.broadcast_to(pairs, (len(rows), 2)).copy()
