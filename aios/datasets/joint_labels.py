# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Joints of a file as labels: confidences, absent joints, the root.

Symbols: ``P`` persons; 137 joints of ``'smplx_137'``.
"""

from __future__ import annotations

import warnings

import numpy as np

from aios.structures import PELVIS, SMPLX_137

from .faults import HumanDataError
from .human_data import HumanData

MAX_CONFIDENCE = 2
"""Visibility of COCO's visible joints; no file has larger confidences."""

_EYEBALLS = [67, 68]


def keypoints2d(
    data: HumanData, key: str, rows: np.ndarray, swap_eyes: bool = False
) -> np.ndarray:
    """2-D joints of a file.

    Args:
        data: The file.
        key: Name of the keypoints.
        rows: ``(P,)`` persons.
        swap_eyes: Whether to swap the eyeballs.

    Returns:
        ``(P, 137, 3)`` float32 x, y, confidence.

    Raises:
        HumanDataError: If a confidence is too large.
    """
    joints = data.joints(key, SMPLX_137, rows)
    points = joints[..., :3].astype(np.float32)
    if joints.shape[-1] == 4:
        # UBody: x, y, COCO's visibility, and an unused constant.
        points[..., 2] = points[..., 2] > 0
    return _labels(points, key, rows, swap_eyes)


def keypoints3d(
    data: HumanData, key: str, rows: np.ndarray, swap_eyes: bool = False
) -> np.ndarray:
    """3-D joints of a file, relative to the pelvis.

    Args:
        data: The file.
        key: Name of the keypoints.
        rows: ``(P,)`` persons.
        swap_eyes: Whether to swap the eyeballs.

    Returns:
        ``(P, 137, 4)`` float32 meters, confidence; zeros for absent joints.

    Raises:
        HumanDataError: If a confidence is too large.
    """
    points = data.joints(key, SMPLX_137, rows).astype(np.float32)
    points = _labels(points, key, rows, swap_eyes)
    align_pelvis(points, points[..., 3] <= 0)
    return points


def align_pelvis(points: np.ndarray, absent: np.ndarray) -> None:
    """Make 3-D joints relative to the pelvis; changes ``points``.

    Args:
        points: ``(P, 137, 4)`` meters, confidence.
        absent: ``(P, 137)`` bool, joints without a label, which get zeros.
            Without a pelvis, the others are unknown, too.
    """
    pelvis = points[:, PELVIS].copy()
    points[..., :3] -= pelvis[:, None, :3]
    points[~pelvis.any(axis=1), :, 3] = 0
    points[absent] = 0


def bound_confidences(
    points: np.ndarray, field: str, rows: np.ndarray
) -> None:
    """Bring confidences into 0..1; changes ``points``.

    Values below 0 and above 1 become 0 and 1 with a warning: visibilities of
    COCO (0, 1, 2) and scores of heat maps.

    Args:
        points: ``(P, J, C)``; the last column is the confidence.
        field: Name of the keypoints, for the error.
        rows: ``(P,)`` rows of the persons in the file, for the error.

    Raises:
        HumanDataError: If one is above 2, such as a percentage.
    """
    confidence = points[..., -1]
    highest = confidence.max(axis=1, initial=0)
    bad = np.flatnonzero(np.isfinite(highest) & (highest > MAX_CONFIDENCE))
    if len(bad):
        raise HumanDataError.of(
            'wrong_confidence',
            field,
            'confidences must be in 0..1, or visibilities 0, 1, 2, got '
            f'{highest[bad[0]]:g}',
            int(rows[bad[0]]),
            len(bad),
        )
    if ((confidence < 0) | (confidence > 1)).any():
        warnings.warn(
            f'{field}: confidences below 0 and above 1 are read as 0 and 1',
            stacklevel=3,
        )
        np.clip(confidence, 0, 1, out=confidence)


def _labels(
    points: np.ndarray, key: str, rows: np.ndarray, swap_eyes: bool
) -> np.ndarray:
    bound_confidences(points, key, rows)
    # Some files mark absent joints by NaN.
    unknown = (points[..., -1] == 0) & ~np.isfinite(points).all(axis=-1)
    points[unknown] = 0
    if swap_eyes:
        swap_eyeballs(points)
    return points


def swap_eyeballs(points: np.ndarray) -> None:
    """Swap the eyeballs of joints ``(P, 137, C)``, in place."""
    points[:, _EYEBALLS] = points[:, _EYEBALLS[::-1]]
