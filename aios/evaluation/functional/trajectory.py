# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Errors of the motion of one person in the world.

Metres in, metres out, except where said otherwise.

Symbols: ``T`` frames, ``K`` points.
"""

from __future__ import annotations

import numpy as np

from aios.structures.procrustes import procrustes_align

_SHORTEST_WAY = 1e-3  # metres; less is rounding


def world_errors(
    predicted: np.ndarray, true: np.ndarray, length: int = 100
) -> tuple[np.ndarray, np.ndarray]:
    """W-MPJPE and WA-MPJPE of each frame.

    The motion is cut into segments, each of which is aligned by a similarity:
    of its first two frames (W) or of all its frames (WA), as introduced by
    SLAHMR (CVPR 2023).  What is left at the end joins the last segment.

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
        ours, there = predicted[start:end], true[start:end]
        for row, frames in enumerate((2, end - start)):
            transform = procrustes_align(
                ours[:frames].reshape(-1, 3), there[:frames].reshape(-1, 3)
            )
            distance = np.linalg.norm(transform(ours) - there, axis=-1)
            errors[row, start:end] = distance.mean(-1)
    return errors[0], errors[1]


def root_trajectory_error(
    predicted: np.ndarray, true: np.ndarray
) -> np.ndarray | None:
    """RTE of each frame, as a share of the way that was walked.

    The whole path is aligned by a rotation and a translation, without scale.

    Args:
        predicted: ``(T, 3)`` roots.
        true: ``(T, 3)``.

    Returns:
        ``(T,)`` distances divided by the length of the true path; None if
        the true root goes less than a millimetre in all.
    """
    way = np.linalg.norm(np.diff(true, axis=0), axis=-1).sum()
    if way < _SHORTEST_WAY:
        return None
    transform = procrustes_align(predicted, true, with_scale=False)
    return np.linalg.norm(transform(predicted) - true, axis=-1) / way


def jitter(
    points: np.ndarray, frames: np.ndarray, fps: float = 30.0
) -> np.ndarray:
    """Jerk: how fast the acceleration of points changes.

    Args:
        points: ``(T, K, 3)``.
        frames: ``(T,)`` numbers of the frames, ascending.
        fps: Frames per second.

    Returns:
        ``(W,)`` mean over the points, in units of 10 m/s³ as in TransPose
        and EMDB, of every four frames that follow each other directly.
    """
    jerk = np.diff(points, n=3, axis=0) * fps**3
    whole = frames[3:] - frames[:-3] == 3
    return np.linalg.norm(jerk, axis=-1).mean(-1)[whole] / 10


def foot_sliding(
    predicted: np.ndarray, true: np.ndarray, frames: np.ndarray
) -> np.ndarray:
    """How far predicted feet move while true ones stand.

    A true point that moves less than a centimetre from a frame to the next
    one is in contact with the ground.

    Args:
        predicted: ``(T, K, 3)`` points of the feet.
        true: ``(T, K, 3)``.
        frames: ``(T,)`` numbers of the frames, ascending.

    Returns:
        ``(C,)`` ways of the predicted points that are in contact.
    """
    moves = np.linalg.norm(np.diff(predicted, axis=0), axis=-1)
    contact = np.linalg.norm(np.diff(true, axis=0), axis=-1) < 0.01
    contact &= (np.diff(frames) == 1)[:, None]
    return moves[contact]
