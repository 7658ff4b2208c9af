# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""AGORA's protocol: who is whom, and how far off (CVPR 2021).

The rules are those of the benchmark's own tool, oddities included; each
oddity has a switch in :class:`AGORAProtocol`.  What the numbers of all
persons become is in :mod:`~aios.evaluation.functional.agora_summary`.

Symbols: ``P`` predictions and ``G`` true persons of a picture, ``M`` matched
pairs, ``K`` key-points, ``V`` vertices.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

__all__ = [
    'AGORA_ERRORS',
    'AGORA_JOINTS',
    'AGORA_PARTS',
    'NUM_MATCH_JOINTS',
    'AGORAProtocol',
    'agora_costs',
    'agora_errors',
    'keypoint_boxes',
    'match_agora',
]

NUM_MATCH_JOINTS = 24
"""Matching looks at the first 24 joints of SMPL-X."""

AGORA_PARTS = ('body', 'lhand', 'rhand', 'face')
"""Names of the parts, in the order of all tables."""

AGORA_ERRORS = tuple(
    f'{part}-{kind}' for kind in ('MPJPE', 'MVE') for part in AGORA_PARTS
)
"""Columns of the table of errors."""

_HIPS = (1, 2)
AGORA_JOINTS: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    'body': (tuple(range(22)), _HIPS),
    'lhand': ((20, *range(25, 40)), (20,)),
    'rhand': ((21, *range(40, 55)), (21,)),
    'face': ((12, *range(76, 127)), (12,)),
}
"""Joints of each part among the 127, and those whose mean is its root.

The roots of hands and faces (wrist, neck) are among their joints, with an
error of zero.
"""


@dataclass(frozen=True)
class AGORAProtocol:
    """The official rules, or others.

    Args:
        spectral_cost: Predictions and persons are compared by the spectral
            norm of their differences of key-points.  If not, by the mean
            distance.
        low_overlap_ends: A pair that is near but does not overlap uses up a
            prediction, so matching may stop early.
        invalid_frees: A prediction on a person who does not count stays
            free: for another person, or as a false positive.  If not, it is
            left out.
        root_counts: The wrist and the neck, whose error is zero by
            definition, count in the mean of hand and face joints.
        miss_as_zero: Persons who were missed in pictures with predictions
            count with an error of zero in hands and faces.
        round_before: F1 is rounded to two and errors to one decimal before
            one is divided by the other.
        min_overlap: IoU that a match needs.
    """

    spectral_cost: bool = True
    low_overlap_ends: bool = True
    invalid_frees: bool = True
    root_counts: bool = True
    miss_as_zero: bool = True
    round_before: bool = True
    min_overlap: float = 0.1

    @classmethod
    def honest(cls) -> AGORAProtocol:
        """All oddities off."""
        return cls(False, False, False, False, False, False)


def agora_costs(
    predicted: np.ndarray, true: np.ndarray, spectral: bool = True
) -> np.ndarray:
    """How different key-points are.

    Args:
        predicted: ``(P, K, 2)``.
        true: ``(G, K, 2)``.
        spectral: The largest singular value of the ``K x 2`` differences;
            otherwise their mean length.

    Returns:
        ``(P, G)`` float64.
    """
    offset = (
        np.asarray(predicted, np.float64)[:, None]
        - np.asarray(true, np.float64)[None]
    )
    if not spectral:
        return np.linalg.norm(offset, axis=-1).mean(-1)
    # Of the 2 x 2 matrix of products in closed form.
    x, y = offset[..., 0], offset[..., 1]
    xx, yy, xy = (x * x).sum(-1), (y * y).sum(-1), (x * y).sum(-1)
    largest = (xx + yy) / 2 + np.hypot((xx - yy) / 2, xy)
    return np.sqrt(largest)


def keypoint_boxes(keypoints: np.ndarray) -> np.ndarray:
    """Smallest ``xyxy`` boxes ``(..., 4)`` around ``(..., K, 2)``."""
    keypoints = np.asarray(keypoints, np.float64)
    low, high = keypoints.min(axis=-2), keypoints.max(axis=-2)
    return np.concatenate((low, high), axis=-1)


def match_agora(
    costs: np.ndarray,
    overlaps: np.ndarray,
    valid: np.ndarray,
    protocol: AGORAProtocol | None = None,
) -> tuple[np.ndarray, int]:
    """Pairs from the smallest cost up.

    A pair of a free prediction and a free person who overlap is a match if
    the person counts.  Officially, a person who does not count is used up
    and the prediction is not; a pair that does not overlap uses up the
    person, if that does not count, and ends the search when there have been
    as many matches and such pairs as predictions.

    Args:
        costs: ``(P, G)``.
        overlaps: ``(P, G)`` IoU.
        valid: ``(G,)`` bool, persons who count.
        protocol: Default: the official one.

    Returns:
        Pairs ``(M, 2)`` int64, sorted by prediction, and how many of the
        others are false positives.
    """
    protocol = protocol or AGORAProtocol()
    num_predictions, num_persons = costs.shape
    free_prediction = np.ones(num_predictions, bool)
    free_person = np.ones(num_persons, bool)
    pairs: list[tuple[int, int]] = []
    absorbed = low_overlaps = 0
    for pair in np.argsort(costs, axis=None, kind='stable'):
        if not free_person.any():
            break
        if len(pairs) + low_overlaps >= num_predictions:
            break
        prediction, person = divmod(int(pair), num_persons)
        if overlaps[prediction, person] < protocol.min_overlap:
            if protocol.low_overlap_ends:
                low_overlaps += 1
                free_person[person] &= valid[person]
        elif free_prediction[prediction] and free_person[person]:
            free_person[person] = False
            if valid[person]:
                free_prediction[prediction] = False
                pairs.append((prediction, person))
            elif not protocol.invalid_frees:
                free_prediction[prediction] = False
                absorbed += 1
    wrong = num_predictions - len(pairs) - absorbed
    return np.array(sorted(pairs), np.int64).reshape(-1, 2), wrong


def agora_errors(
    predicted: tuple[np.ndarray, np.ndarray],
    true: tuple[np.ndarray, np.ndarray],
    vertex_ids: Mapping[str, np.ndarray],
    root_counts: bool = True,
) -> np.ndarray:
    """Mean errors of joints and vertices of matched persons.

    Each part is moved to its root, nothing is turned or scaled.

    Args:
        predicted: Joints ``(M, 127 or more, 3)`` and vertices ``(M, V, 3)``.
        true: The same of the persons.
        vertex_ids: Vertices of each of :data:`AGORA_PARTS`.
        root_counts: See :class:`AGORAProtocol`.

    Returns:
        ``(M, 8)`` float64 in the unit of the input, columns as in
        :data:`AGORA_ERRORS`.
    """
    ours = [np.asarray(points, np.float64) for points in predicted]
    theirs = [np.asarray(points, np.float64) for points in true]
    columns: dict[str, np.ndarray] = {}
    for part in AGORA_PARTS:
        joints, root = AGORA_JOINTS[part]
        if not root_counts:
            joints = tuple(j for j in joints if (j,) != root)
        shift = ours[0][:, root].mean(1) - theirs[0][:, root].mean(1)
        for kind, points, index in (
            ('MPJPE', 0, list(joints)),
            ('MVE', 1, np.asarray(vertex_ids[part])),
        ):
            offset = ours[points][:, index] - theirs[points][:, index]
            distance = np.linalg.norm(offset - shift[:, None], axis=-1)
            columns[f'{part}-{kind}'] = distance.mean(1)
    return np.stack([columns[name] for name in AGORA_ERRORS], axis=1)
