# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Errors of the motion of one person in the world.

Inputs and results are in meters unless stated otherwise.

Symbols: ``T`` frames, ``K`` points.
"""

from __future__ import annotations

import numpy as np

from aios.structures.procrustes import procrustes_align

_MIN_PATH_LENGTH = 1e-3  # meters; less is rounding error


def world_errors(
    predicted: np.ndarray, true: np.ndarray, length: int = 100
) -> tuple[np.ndarray, np.ndarray]:
    """W-MPJPE and WA-MPJPE of each frame.

    The motion is cut into segments, each aligned by the similarity of its
    first two frames (W) or of all its frames (WA), as introduced by SLAHMR
    (CVPR 2023).  Remaining frames belong to the last segment.

    Args:
        predicted: ``(T, K, 3)``.
        true: ``(T, K, 3)``.
        length: Frames of a segment.

    Returns:
        Two arrays ``(T,)``: mean distance of the points of each frame after
        the alignment of W and of WA.
    """
    count = len(true)
    starts = np.arange(max(count // length, 1)) * length
    errors = np.zeros((2, count))
    for start, end in zip(starts, [*starts[1:], count], strict=True):
        points, true_points = predicted[start:end], true[start:end]
        for row, frames in enumerate((2, end - start)):
            transform = procrustes_align(
                points[:frames].reshape(-1, 3),
                true_points[:frames].reshape(-1, 3),
            )
            distance = np.linalg.norm(transform(points) - true_points, axis=-1)
            errors[row, start:end] = distance.mean(-1)
    return errors[0], errors[1]


def root_trajectory_error(
    predicted: np.ndarray, true: np.ndarray
) -> np.ndarray | None:
    """RTE of each frame, relative to the length of the true path.

    The whole path is aligned by a rotation and a translation, without scale.

    Args:
        predicted: ``(T, 3)`` roots.
        true: ``(T, 3)``.

    Returns:
        ``(T,)`` distances divided by the length of the true path; None if
        that is less than a millimeter.
    """
    length = np.linalg.norm(np.diff(true, axis=0), axis=-1).sum()
    if length < _MIN_PATH_LENGTH:
        return None
    transform = procrustes_align(predicted, true, with_scale=False)
    return np.linalg.norm(transform(predicted) - true, axis=-1) / length


def jitter(
    points: np.ndarray, frames: np.ndarray, fps: float = 30.0
) -> np.ndarray:
    """Jerk, the third derivative of the position of points.

    Args:
        points: ``(T, K, 3)``.
        frames: ``(T,)`` numbers of the frames, ascending.
        fps: Frames per second.

    Returns:
        ``(W,)`` mean over the points for each run of four consecutive
        frames, in units of 10 m/s³ as in TransPose and EMDB.
    """
    jerk = np.diff(points, n=3, axis=0) * fps**3
    consecutive = frames[3:] - frames[:-3] == 3
    return np.linalg.norm(jerk, axis=-1).mean(-1)[consecutive] / 10


def foot_sliding(
    predicted: np.ndarray, true: np.ndarray, frames: np.ndarray
) -> np.ndarray:
    """Motion of predicted feet while the true feet stand still.

    A true point that moves less than a centimeter between two frames is in
    contact with the ground.

    Args:
        predicted: ``(T, K, 3)`` points of the feet.
        true: ``(T, K, 3)``.
        frames: ``(T,)`` numbers of the frames, ascending.

    Returns:
        ``(C,)`` motion of the predicted points in contact.
    """
    moves = np.linalg.norm(np.diff(predicted, axis=0), axis=-1)
    contact = np.linalg.norm(np.diff(true, axis=0), axis=-1) < 0.01
    contact &= (np.diff(frames) == 1)[:, None]
    return moves[contact]
