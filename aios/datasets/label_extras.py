# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Labels that only some HumanData files have: cameras, crowds, SMPL bodies.

Symbols: ``P`` persons and crowds, ``M`` images, ``Q`` crowds in them.
"""

from __future__ import annotations

import math

import numpy as np

from .faults import HumanDataError
from .human_data import HumanData


def person_cameras(
    data: HumanData, rows: np.ndarray, sizes: np.ndarray
) -> np.ndarray:
    """Cameras of persons.

    Args:
        data: The file, with cameras per row in ``meta`` or one in ``misc``.
        rows: ``(P,)`` rows of the persons.
        sizes: ``(P, 2)`` height and width of their images, whose center is
            the default principal point.

    Returns:
        ``(P, 4)`` fx, fy, cx, cy, NaN without a camera: no focal length, or
        numbers that no camera has.
    """
    focal = _per_row(data, 'focal_length', rows)
    if focal is None:
        return np.full((len(rows), 4), np.nan)
    center = _per_row(data, 'principal_point', rows)
    if center is None:
        center = sizes[:, ::-1] / 2
    cameras = np.hstack((focal, center))
    known = np.isfinite(cameras).all(1) & (focal > 0).all(1)
    cameras[~known] = np.nan
    return cameras


def image_cameras(cameras: np.ndarray, image_rows: np.ndarray) -> np.ndarray:
    """Cameras of images.

    An image whose persons have different cameras (virtual cameras of crops),
    or without persons, has none.

    Args:
        cameras: ``(P, 4)``, see :func:`person_cameras`.
        image_rows: ``(M, 2)`` ``[start, end)`` persons of each image.

    Returns:
        ``(M, 4)``, NaN without a camera.
    """
    counts = image_rows[:, 1] - image_rows[:, 0]
    start = image_rows[counts > 0, 0]
    first = cameras[start]
    same = np.repeat(first, counts[counts > 0], axis=0)
    same = np.isclose(cameras, same).all(axis=1)
    if len(start):
        first[~np.logical_and.reduceat(same, start)] = np.nan
    shared = np.full((len(image_rows), 4), np.nan)
    shared[counts > 0] = first
    return shared


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
        kept_images: ``(M,)`` numbers of the kept images, ascending.

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


def smpl_columns(data: HumanData, rows: np.ndarray) -> dict[str, np.ndarray]:
    """SMPL parameters and camera poses of a file.

    Args:
        data: The file, with ``smpl``.
        rows: ``(P,)`` rows to read.

    Returns:
        ``smpl_pose`` ``(P, 72)`` axis-angle, ``smpl_betas`` ``(P, 10)`` and,
        if the file has ``meta.RT``, ``extrinsics`` ``(P, 4, 4)`` from the
        world to the camera.

    Raises:
        HumanDataError: If the file lacks parameters, e.g. those of hands.
    """
    params = data.get('smpl', {})
    sizes = {'global_orient': 3, 'body_pose': 69, 'betas': 10}
    values = {}
    for name, size in sizes.items():
        value = np.asarray(params.get(name, ()))
        value = value.reshape(len(value), math.prod(value.shape[1:]))
        value = value[:, :size]
        if value.shape != (len(data), size):
            raise HumanDataError.of(
                'wrong_shape',
                f'smpl.{name}',
                f'read_smpl needs {size} numbers per row',
            )
        values[name] = value[rows].astype(np.float32)
    columns = {
        'smpl_pose': np.hstack((values['global_orient'], values['body_pose'])),
        'smpl_betas': values['betas'],
    }
    extrinsics = np.asarray(data.get('meta', {}).get('RT', ()))
    if extrinsics.shape == (len(data), 4, 4):
        columns['extrinsics'] = extrinsics[rows].astype(np.float64)
    return columns
