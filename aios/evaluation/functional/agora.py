# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Matching and errors of the AGORA benchmark (CVPR 2021).

The rules are those of the benchmark's own tool, or corrected ones; see
:class:`AGORAProtocol`.  :mod:`~aios.evaluation.functional.agora_summary`
aggregates the errors over persons.

Symbols: ``P`` predictions and ``G`` true persons of an image, ``M`` matched
pairs, ``K`` keypoints, ``V`` vertices.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import numpy as np

NUM_MATCH_JOINTS = 24
"""Persons are matched by the first 24 joints of SMPL-X."""

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

The joints of hands and faces include their roots (wrist, neck), whose error
is zero.
"""


_MIN_OVERLAP = 0.1


class AGORAProtocol(Enum):
    """Rules of the benchmark's own tool, with or without its quirks.

    ==================  =============================  ====================
    rule                ``OFFICIAL``                   ``CORRECTED``
    ==================  =============================  ====================
    matching cost       spectral norm of the 24 x 2    mean distance
                        differences of keypoints
    near pairs with     use up predictions, so the     are skipped
    IoU below 0.1       search may end early
    prediction on a     stays free: for another        is left out
    person that does    person, or a false positive
    not count
    valid persons more  are missed                     do not count
    than 90 % occluded
    wrist and neck (0   are in the mean of hand and    are not
    by definition)      face joints
    hands and faces of  count with 0 mm in images      do not count
    missed persons      with predictions
    rounding            F1 to 2, errors to 1 decimal   none
                        before they are divided
    full bodies of      divided by the F1 of all       divided by theirs
    children            persons
    ==================  =============================  ====================
    """

    OFFICIAL = 'official'
    CORRECTED = 'corrected'

    @property
    def is_official(self) -> bool:
        """Whether the quirks of the official tool apply."""
        return self is AGORAProtocol.OFFICIAL


def agora_costs(
    predicted: np.ndarray,
    true: np.ndarray,
    protocol: AGORAProtocol = AGORAProtocol.OFFICIAL,
) -> np.ndarray:
    """Matching cost of every prediction and person.

    Args:
        predicted: ``(P, K, 2)``.
        true: ``(G, K, 2)``.
        protocol: Official: the largest singular value of the ``K x 2``
            differences; corrected: their mean length.

    Returns:
        ``(P, G)`` float64.
    """
    offset = (
        np.asarray(predicted, np.float64)[:, None]
        - np.asarray(true, np.float64)[None]
    )
    if not protocol.is_official:
        return np.linalg.norm(offset, axis=-1).mean(-1)
    # Largest eigenvalue of the 2 x 2 Gram matrix in closed form.
    x, y = offset[..., 0], offset[..., 1]
    xx, yy, xy = (x * x).sum(-1), (y * y).sum(-1), (x * y).sum(-1)
    eigenvalue = (xx + yy) / 2 + np.hypot((xx - yy) / 2, xy)
    return np.sqrt(eigenvalue)


def keypoint_boxes(keypoints: np.ndarray) -> np.ndarray:
    """Smallest ``xyxy`` boxes ``(..., 4)`` around ``(..., K, 2)``."""
    keypoints = np.asarray(keypoints, np.float64)
    low, high = keypoints.min(axis=-2), keypoints.max(axis=-2)
    return np.concatenate((low, high), axis=-1)


def match_agora(
    costs: np.ndarray,
    overlaps: np.ndarray,
    valid: np.ndarray,
    protocol: AGORAProtocol = AGORAProtocol.OFFICIAL,
) -> tuple[np.ndarray, int]:
    """Match predictions and persons greedily, in order of ascending cost.

    An unmatched prediction and an unmatched person that overlap form a match
    if the person is valid.  Under the official rules, an invalid person is
    consumed while the prediction stays free, and the search ends when the
    matches and the non-overlapping pairs together number as many as the
    predictions.  Ties are visited in the order of predictions, then persons.

    Args:
        costs: ``(P, G)``.
        overlaps: ``(P, G)`` IoU.
        valid: ``(G,)`` bool, persons that are evaluated.
        protocol: Official or corrected rules.

    Returns:
        Pairs ``(M, 2)`` int64, sorted by prediction, and the number of false
        positives.
    """
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
        if overlaps[prediction, person] < _MIN_OVERLAP:
            if protocol.is_official:
                low_overlaps += 1
        elif free_prediction[prediction] and free_person[person]:
            free_person[person] = False
            if valid[person]:
                free_prediction[prediction] = False
                pairs.append((prediction, person))
            elif not protocol.is_official:
                free_prediction[prediction] = False
                absorbed += 1
    false_positives = num_predictions - len(pairs) - absorbed
    return np.array(sorted(pairs), np.int64).reshape(-1, 2), false_positives


def agora_errors(
    predicted: tuple[np.ndarray, np.ndarray],
    true: tuple[np.ndarray, np.ndarray],
    vertex_ids: Mapping[str, np.ndarray],
    protocol: AGORAProtocol = AGORAProtocol.OFFICIAL,
) -> np.ndarray:
    """Mean errors of joints and vertices of matched persons.

    Each part is aligned at its root by translation only.

    Args:
        predicted: Joints ``(M, 127 or more, 3)`` and vertices ``(M, V, 3)``.
        true: The same for the matched persons.
        vertex_ids: Vertices of each of :data:`AGORA_PARTS`.
        protocol: Whether the root counts among the joints of its part.

    Returns:
        ``(M, 8)`` float64 in the unit of the input, columns as in
        :data:`AGORA_ERRORS`.
    """
    joints, vertices = (
        (np.asarray(points, np.float64), np.asarray(true_points, np.float64))
        for points, true_points in zip(predicted, true, strict=True)
    )
    columns: dict[str, np.ndarray] = {}
    for part in AGORA_PARTS:
        joint_ids, root = AGORA_JOINTS[part]
        if not protocol.is_official:
            joint_ids = tuple(j for j in joint_ids if (j,) != root)
        shift = joints[0][:, root].mean(1) - joints[1][:, root].mean(1)
        for kind, (points, true_points), index in (
            ('MPJPE', joints, list(joint_ids)),
            ('MVE', vertices, np.asarray(vertex_ids[part])),
        ):
            offset = points[:, index] - true_points[:, index]
            distance = np.linalg.norm(offset - shift[:, None], axis=-1)
            columns[f'{part}-{kind}'] = distance.mean(1)
    return np.stack([columns[name] for name in AGORA_ERRORS], axis=1)
