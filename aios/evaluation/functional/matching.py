# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Which prediction is which person.

Every function returns pairs ``(M, 2)`` int64, (prediction, true person), in
which each prediction appears at most once, sorted by prediction.

Symbols: ``P`` predictions, ``G`` true persons, ``M`` pairs.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from aios.structures import pairwise_iou, points_to_box


def keypoint_cost(
    predicted: np.ndarray,
    true: np.ndarray,
    size: tuple[float, float],
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """How far 2-D joints of predictions are from those of persons.

    Args:
        predicted: ``(P, K, 2)`` pixels.
        true: ``(G, K, 2)`` pixels.
        size: ``(width, height)`` of the image.
        weights: ``(G, K)`` of the joints of each person; default 1.  Where
            all are 0 all count alike.

    Returns:
        ``(P, G)`` float64: mean of ``|dx| / width + |dy| / height``.
    """
    predicted = np.asarray(predicted, np.float64) / size
    true = np.asarray(true, np.float64) / size
    distance = np.abs(predicted[:, None] - true[None]).sum(-1)
    weights = _joint_weights(true, weights)
    return (distance * weights).sum(-1) / weights.sum(-1).clip(min=1e-12)


def keypoint_box_iou(
    predicted: np.ndarray,
    true: np.ndarray,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Overlap of the boxes around 2-D joints.

    A person's joints without weight are left out on both sides.

    Args:
        predicted: ``(P, K, 2)`` pixels.
        true: ``(G, K, 2)`` pixels.
        weights: ``(G, K)``, see :func:`keypoint_cost`.

    Returns:
        ``(P, G)`` IoU, pixels counted inclusively.
    """
    overlaps = np.zeros((len(predicted), len(true)))
    for person, used in enumerate(_joint_weights(true, weights) > 0):
        box, _ = points_to_box(true[person], used)
        mask = np.broadcast_to(used, predicted.shape[:-1])
        boxes, _ = points_to_box(predicted, mask)
        overlaps[:, person] = pairwise_iou(boxes, box[None], pixel=1)[:, 0]
    return overlaps


def match_one_per_image(scores: np.ndarray, costs: np.ndarray) -> np.ndarray:
    """The best prediction, and the person it is nearest to.

    The protocol behind published numbers on EHF, UBody, EgoBody and ARCTIC:
    whoever else is in the image does not count.

    Args:
        scores: ``(P,)``.
        costs: ``(P, G)``, finite.

    Returns:
        Pairs ``(M, 2)``, at most one.
    """
    if not costs.size:
        return _pairs([])
    best = int(np.argmax(scores))
    return _pairs([(best, int(costs[best].argmin()))])


def match_greedy(
    scores: np.ndarray, overlaps: np.ndarray, min_overlap: float = 0.5
) -> np.ndarray:
    """The rule of detection benchmarks (COCO).

    From the best score down, a prediction takes the person it overlaps most
    among those still free.  Leaving out predictions below some score hence
    changes nothing for the others.

    Args:
        scores: ``(P,)``.
        overlaps: ``(P, G)``, e.g. IoU of boxes.
        min_overlap: Less is no match.

    Returns:
        Pairs ``(M, 2)``.
    """
    free = np.ones(overlaps.shape[1], bool)
    pairs = []
    for prediction in np.argsort(-np.asarray(scores), kind='stable'):
        row = np.where(free, overlaps[prediction], -1)
        if not len(row):
            break
        person = int(row.argmax())
        if row[person] >= min_overlap:
            free[person] = False
            pairs.append((int(prediction), person))
    return _pairs(pairs)


def match_hungarian(
    costs: np.ndarray, allowed: np.ndarray | None = None
) -> np.ndarray:
    """The cheapest one-to-one assignment.

    As many allowed pairs as possible are made, and of all ways to do so the
    cheapest is taken.

    Args:
        costs: ``(P, G)``, finite where allowed.
        allowed: ``(P, G)`` bool, pairs that may be made; default all.

    Returns:
        Pairs ``(M, 2)``.
    """
    costs = np.asarray(costs, np.float64)
    if allowed is None:
        allowed = np.ones(costs.shape, bool)
    if not allowed.any():
        return _pairs([])
    usual = costs[allowed]
    # One forbidden pair costs more than all allowed pairs together.
    span = float(usual.max() - usual.min()) + 1
    forbidden = usual.max() + span * min(costs.shape)
    rows, columns = linear_sum_assignment(np.where(allowed, costs, forbidden))
    keep = allowed[rows, columns]
    return _pairs(list(zip(rows[keep], columns[keep], strict=True)))


def match_best_overlap(overlaps: np.ndarray) -> np.ndarray:
    """For every person the prediction that overlaps it most.

    As if the box of the person had been given, for comparison with methods
    that are given boxes.  One prediction may stand for several persons, so
    here each *person* appears at most once.

    Args:
        overlaps: ``(P, G)``.

    Returns:
        Pairs ``(M, 2)``, sorted by person.
    """
    if not len(overlaps):
        return _pairs([])
    best = overlaps.argmax(0)
    persons = np.arange(overlaps.shape[1])
    keep = overlaps[best, persons] > 0
    return np.stack((best[keep], persons[keep]), axis=1).astype(np.int64)


def _pairs(pairs: list[tuple[int, int]]) -> np.ndarray:
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)


def _joint_weights(true: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """``(G, K)`` weights, 1 for persons who have none."""
    if weights is None:
        return np.ones(true.shape[:2])
    weights = np.asarray(weights, np.float64)
    return np.where(weights.any(-1, keepdims=True), weights, 1.0)
