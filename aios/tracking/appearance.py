# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Appearance of persons and of the scene around them.

Color histograms of torso and thighs, which the joints locate, distinguish
persons whose boxes coincide, and persons who reappear after an occlusion.  A
tiny gray image of the whole frame tells whether the video was cut.

Symbols: ``M`` tracks, ``n`` persons of a frame, ``P`` = 2 parts, ``B`` = 64
bins, four of each of blue, green and red, and as many pixels of the tiny
image.
"""

from __future__ import annotations

import itertools

import cv2
import numpy as np

from aios.results import APPEARANCE_SHAPE, FrameResult
from aios.structures import joint_mapping

SCENE = APPEARANCE_SHAPE[0] - 1
"""Row of the appearance with the tiny image."""

_BINS = APPEARANCE_SHAPE[1]
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
_SCENE_SIDE = 8  # of the tiny image, pixels
_SAME_SCENE = 0.55  # largest median difference of tiny images of a shot


def with_appearance(frame: FrameResult, image: np.ndarray) -> FrameResult:
    """Add the appearance of persons, for :class:`Tracker`.

    Args:
        frame: Its ``joints2d`` locate the persons.
        image: ``(H, W, 3)`` uint8 BGR; may be smaller than the original.

    Returns:
        The frame with ``appearance`` ``(n, P + 1, B)``: each part sums to 1,
        or is 0 where it is outside the image or behind the camera. The last
        row is :func:`scene_of`, the same for all persons.
    """
    joints = frame.instances['joints2d'].astype(np.float64)
    joints *= np.divide(image.shape[1::-1], frame.size)
    # Behind the camera pixels are mirrored, and may be inside the image.
    joints[frame.instances['joints3d'][..., 2] < 0] = np.nan
    appearance = np.zeros((len(frame), *APPEARANCE_SHAPE))
    appearance[:, SCENE] = scene_of(image)
    for row, person in enumerate(joints):
        for part, points in enumerate((_torso(person), _thighs(person))):
            appearance[row, part] = _histogram(image, points)
    return frame.with_fields(appearance=appearance)


def scene_of(image: np.ndarray) -> np.ndarray:
    """Tiny gray image of a frame, for :func:`is_cut`.

    Args:
        image: ``(H, W, 3)`` or ``(H, W)``.

    Returns:
        ``(B,)`` with a mean of 0 and a standard deviation of 1; 0 if the
        image has one color.
    """
    tiny = cv2.resize(
        image, (_SCENE_SIDE, _SCENE_SIDE), interpolation=cv2.INTER_AREA
    )
    gray = tiny.reshape(_BINS, -1).mean(-1)
    gray -= gray.mean()
    contrast = gray.std()
    return gray / contrast if contrast > 1 else 0 * gray


def is_cut(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether two frames are from different shots of a video.

    Most pixels of the tiny image change. They do not when persons pass in
    front of the camera, when the camera moves or when the light changes.

    Args:
        before: :func:`scene_of` a frame.
        after: That of a later frame.
    """
    known = before.any() and after.any()
    return bool(known and np.median(np.abs(before - after)) > _SAME_SCENE)


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
