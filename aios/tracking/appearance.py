# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Appearance of persons: color histograms of torso and thighs.

The joints tell where torso and thighs are.  The histograms distinguish persons
whose boxes coincide, and persons who reappear after an occlusion.

Symbols: ``M`` tracks, ``n`` persons of a frame, ``P`` = 2 parts, ``B`` = 64
bins, four of each of blue, green and red.
"""

from __future__ import annotations

import itertools

import numpy as np

from aios.results import APPEARANCE_SHAPE, FrameResult
from aios.structures import joint_mapping

_PARTS, _BINS = APPEARANCE_SHAPE
_SIDE = round(_BINS ** (1 / 3))
_BODY = joint_mapping('smplx_144', 'coco')
_SHOULDERS, _HIPS, _KNEES = (_BODY[i : i + 2] for i in (5, 11, 13))
# Where colors are sampled: fractions from left to right and from top to
# bottom, away from the outline.
_ACROSS = np.linspace(0.2, 0.8, 8)[:, None, None]
_DOWN = np.linspace(0.15, 0.85, 8)[:, None]
_MIN_INSIDE = 0.25  # fraction of points inside the image
_STD = 0.5  # of the distance of histograms
_RATE = 0.2  # weight of the newest frame in the mean


def with_appearance(frame: FrameResult, image: np.ndarray) -> FrameResult:
    """Add the appearance of persons, for :class:`Tracker`.

    Args:
        frame: Its ``joints2d`` locate the persons.
        image: ``(H, W, 3)`` uint8 BGR; may be smaller than the original.

    Returns:
        The frame with ``appearance`` ``(n, P, B)``: each part sums to 1, or is
        0 where the part is outside the image or behind the camera.
    """
    joints = frame.instances['joints2d'].astype(np.float64)
    joints *= np.divide(image.shape[1::-1], frame.size)
    # Behind the camera pixels are mirrored, and may be inside the image.
    joints[frame.instances['joints3d'][..., 2] < 0] = np.nan
    histograms = np.zeros((len(frame), _PARTS, _BINS))
    for row, person in enumerate(joints):
        for part, points in enumerate((_torso(person), _thighs(person))):
            histograms[row, part] = _histogram(image, points)
    return frame.with_fields(appearance=histograms)


def _torso(joints: np.ndarray) -> np.ndarray:
    """``(64, 2)`` points between shoulders and hips."""
    left, right = np.stack([joints[_SHOULDERS], joints[_HIPS]], axis=1)
    sides = left * (1 - _ACROSS) + right * _ACROSS
    return (sides[:, :1] * (1 - _DOWN) + sides[:, 1:] * _DOWN).reshape(-1, 2)


def _thighs(joints: np.ndarray) -> np.ndarray:
    """``(16, 2)`` points on the lines from hips to knees."""
    hips, knees = joints[_HIPS][:, None], joints[_KNEES][:, None]
    return (hips * (1 - _DOWN) + knees * _DOWN).reshape(-1, 2)


def _histogram(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """``(B,)``; each color is interpolated between the eight nearest bins."""
    columns, rows = np.floor(points).T
    inside = (columns >= 0) & (columns < image.shape[1])
    inside &= (rows >= 0) & (rows < image.shape[0])
    total = np.zeros(_BINS)
    if inside.mean() < _MIN_INSIDE:
        return total
    colors = image[rows[inside].astype(int), columns[inside].astype(int)]
    position = colors * (_SIDE / 256) - 0.5
    low = np.floor(position)
    for corner in itertools.product((0, 1), repeat=3):
        weights = np.where(corner, position - low, 1 - position + low).prod(1)
        bins = np.clip(low + corner, 0, _SIDE - 1).astype(int)
        index = np.ravel_multi_index(tuple(bins.T), (_SIDE,) * 3)
        total += np.bincount(index, weights, _BINS)
    return total / total.sum()


def appearance_similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Similarity of the appearance of all pairs.

    Histograms are compared by the Bhattacharyya coefficient (Bhattacharyya
    1943).

    Args:
        a: ``(M, P, B)``.
        b: ``(n, P, B)``.

    Returns:
        ``(M, n)`` in [0, 1]. Parts that are unknown for one of the two are
        ignored; pairs without a common part get 1.
    """
    coefficient = np.sqrt(a[:, None] * b[None]).sum(-1)
    both = np.any(a, axis=-1)[:, None] & np.any(b, axis=-1)[None]
    distance = ((1 - coefficient) * both).sum(-1)
    distance /= np.maximum(both.sum(-1), 1)
    return np.exp(-np.square(distance / _STD) / 2)


def mean_appearance(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Running mean.

    Args:
        old: ``(P, B)`` mean so far.
        new: ``(P, B)`` of the newest frame.

    Returns:
        ``(P, B)``; a part that is unknown in one is taken from the other.
    """
    rate = np.where(old.any(-1), _RATE, 1) * new.any(-1)
    return old + rate[:, None] * (new - old)
