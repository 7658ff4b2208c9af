# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Metrics of persons in photographs against pseudo ground truth.

Symbols: ``P`` predictions and ``G`` persons of an image, ``M`` matched
persons of all images, ``J`` joints.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from aios.evaluation.functional import (
    align_roots,
    match_greedy,
    mean_point_error,
    pairwise_iou,
)

JOINTS = tuple(
    f'{side}_{name}'
    for name in ('shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')
    for side in ('left', 'right')
)
L_SHOULDER, R_SHOULDER, L_HIP, R_HIP = 0, 1, 6, 7
TORSO = [L_SHOULDER, R_SHOULDER, L_HIP, R_HIP]
MIN_IOU = 0.5
MIN_DOUBTFUL_IOU = 0.3  # boxes of doubtful persons are less exact
MIN_VISIBILITY = 0.5
PCK_RADIUS = 0.2  # of the torso


class Matches(NamedTuple):
    """Matches of an image."""

    pairs: np.ndarray  # (M, 2) prediction, person
    doubles: int  # further predictions of matched persons
    false: int  # predictions without a person


def match_persons(
    scores: np.ndarray,
    boxes: np.ndarray,
    persons: np.ndarray,
    doubtful: np.ndarray,
) -> Matches:
    """Match predictions and persons as in detection benchmarks.

    Args:
        scores: ``(P,)``.
        boxes: ``(P, 4)`` x1 y1 x2 y2, pixels.
        persons: ``(G, 4)``.
        doubtful: ``(D, 4)`` boxes in which predictions are ignored.
    """
    overlaps = pairwise_iou(boxes, persons)
    pairs = match_greedy(scores, overlaps, MIN_IOU)
    unmatched = np.isin(np.arange(len(boxes)), pairs[:, 0], invert=True)
    is_double = unmatched & (overlaps >= MIN_IOU).any(1)
    is_doubtful = (pairwise_iou(boxes, doubtful) >= MIN_DOUBTFUL_IOU).any(1)
    is_false = unmatched & ~is_double & ~is_doubtful
    return Matches(pairs, int(is_double.sum()), int(is_false.sum()))


def pck(
    predicted: np.ndarray, true: np.ndarray, visible: np.ndarray
) -> tuple[int, int]:
    """Count joints within 0.2 of the torso's length.

    The torso reaches from the left shoulder to the right hip, as in Modec
    (Sapp and Taskar, CVPR 2013).

    Args:
        predicted: ``(M, J, 2)`` pixels.
        true: ``(M, J, 2)`` pixels.
        visible: ``(M, J)`` joints that count.

    Returns:
        Numbers of correct joints, and of joints that count.
    """
    torso = np.linalg.norm(true[:, L_SHOULDER] - true[:, R_HIP], axis=-1)
    distance = np.linalg.norm(predicted - true, axis=-1)
    is_right = distance <= PCK_RADIUS * torso[:, None]
    return int((is_right & visible).sum()), int(visible.sum())


def scale_aligned_errors(
    predicted: np.ndarray, true: np.ndarray, known: np.ndarray
) -> np.ndarray:
    """Mean joint error after aligning roots and scales, but not rotations.

    The root is the midpoint of the hips. The scale is the root mean square
    of the distances of known joints from it.

    Args:
        predicted: ``(M, J, 3)``.
        true: ``(M, J, 3)`` meters.
        known: ``(M, J)`` joints that count.

    Returns:
        ``(M,)`` meters.
    """
    points, target = _from_hips(predicted), _from_hips(true)
    ratio = _sizes(target, known) / _sizes(points, known)
    errors, _ = mean_point_error(points * ratio[:, None, None], target, known)
    return errors


def mean_pose(true: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Mean true pose, the best constant prediction.

    Args:
        true: ``(M, J, 3)``.
        known: ``(M, J)`` joints that count.

    Returns:
        ``(J, 3)``: mean over persons of normalized scale.
    """
    centered = _from_hips(true)
    unit = centered / _sizes(centered, known)[:, None, None]
    weights = known[..., None].astype(float)
    return (unit * weights).sum(0) / weights.sum(0).clip(min=1)


def _from_hips(joints: np.ndarray) -> np.ndarray:
    return align_roots(joints, joints[:, [L_HIP, R_HIP]].mean(1))


def _sizes(centered: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Root mean square of the distances of joints from the root, ``(M,)``."""
    squares = np.square(centered).sum(-1) * known
    return np.sqrt(squares.sum(1) / known.sum(1))


def visible_joints(keypoints: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Mask of the joints that are visible in the image.

    Args:
        keypoints: ``(..., 3)`` x, y and visibility.
        size: Width and height of the image.

    Returns:
        ``(...)`` bool.
    """
    inside = (keypoints[..., :2] >= 0) & (keypoints[..., :2] < size)
    return inside.all(-1) & (keypoints[..., 2] > MIN_VISIBILITY)


def summarize(
    matches: Sequence[Matches],
    num_persons: int,
    found: Mapping[str, np.ndarray],
) -> dict[str, float]:
    """Compute all metrics.

    Args:
        matches: One for each image.
        num_persons: Number of persons in all images.
        found: Joints of matched persons: ``predicted_2d`` ``(M, J, 2)``,
            ``true_2d``, ``predicted_3d`` ``(M, J, 3)``, ``true_3d`` and
            ``visible`` ``(M, J)``.

    Returns:
        Metrics by name. 3-D errors are in millimeters, over persons with
        visible shoulders and hips.
    """
    count = len(found['visible'])
    right, joints = pck(
        found['predicted_2d'], found['true_2d'], found['visible']
    )
    numbers = {
        'persons': num_persons,
        'found': count / max(num_persons, 1),
        'false-per-image': sum(m.false for m in matches) / len(matches),
        'doubles': sum(m.doubles for m in matches),
        'PCK': right / max(joints, 1),
        'PCK-joints': joints,
    }
    rows = found['visible'][:, TORSO].all(1)
    numbers['persons-3d'] = int(rows.sum())
    if rows.any():
        true, known = found['true_3d'][rows], found['visible'][rows]
        constant = np.broadcast_to(mean_pose(true, known), true.shape)
        error = scale_aligned_errors(found['predicted_3d'][rows], true, known)
        baseline = scale_aligned_errors(constant, true, known)
        numbers['error-3d'] = 1000 * float(error.mean())
        numbers['mean-pose-error-3d'] = 1000 * float(baseline.mean())
        numbers['gain-3d'] = 1 - float(error.mean() / baseline.mean())
    return numbers
