# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Matching of predictions and true persons.

Unless noted otherwise, functions return pairs ``(M, 2)`` int64, (prediction,
true person), sorted by prediction, with each prediction at most once.

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
    """Distance between the 2-D joints of predictions and persons.

    Args:
        predicted: ``(P, K, 2)`` pixels.
        true: ``(G, K, 2)`` pixels.
        size: ``(width, height)`` of the image.
        weights: ``(G, K)`` of the joints of each person; default 1.  If all
            weights of a person are 0, its joints are weighted equally.

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
    """IoU of the boxes around 2-D joints.

    Joints to which a person gives no weight are left out of both boxes.

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
    """Match the prediction with the best score to its nearest person.

    This is the protocol of published numbers on EHF, UBody, EgoBody and
    ARCTIC; other persons in the image are ignored.

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
    """Match greedily by score, as detection benchmarks do (COCO).

    In order of descending score, each prediction takes the unmatched person
    it overlaps most.  Hence matches do not change if predictions below some
    score are left out.

    Args:
        scores: ``(P,)``.
        overlaps: ``(P, G)``, e.g. IoU of boxes.
        min_overlap: Smallest overlap of a match.

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
    """The one-to-one assignment of least cost.

    Among the assignments with the most allowed pairs, the cheapest is taken.

    Args:
        costs: ``(P, G)``, finite where allowed.
        allowed: ``(P, G)`` bool, pairs that may be matched; default all.

    Returns:
        Pairs ``(M, 2)``.
    """
    costs = np.asarray(costs, np.float64)
    if allowed is None:
        allowed = np.ones(costs.shape, bool)
    if not allowed.any():
        return _pairs([])
    allowed_costs = costs[allowed]
    # One forbidden pair costs more than all allowed pairs together.
    span = float(np.ptp(allowed_costs)) + 1
    forbidden = allowed_costs.max() + span * min(costs.shape)
    rows, columns = linear_sum_assignment(np.where(allowed, costs, forbidden))
    keep = allowed[rows, columns]
    return _pairs(list(zip(rows[keep], columns[keep], strict=True)))


def match_best_overlap(overlaps: np.ndarray) -> np.ndarray:
    """Match every person to the prediction that overlaps it most.

    This allows comparison with methods that are given the boxes of persons.
    One prediction may match several persons; each *person* appears at most
    once.

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


def unmatched_in_regions(
    boxes: np.ndarray,
    regions: np.ndarray,
    pairs: np.ndarray,
    min_share: float = 0.5,
) -> np.ndarray:
    """Predictions that match no person but lie in an ignored region.

    They are neither right nor wrong, like those in crowds of COCO.

    Args:
        boxes: ``(P, 4)`` xyxy.
        regions: ``(Q, 4)`` xyxy.
        pairs: ``(M, 2)``, matched predictions and persons.
        min_share: Smallest share of a box in one region.

    Returns:
        ``(P,)`` bool.
    """
    boxes = np.asarray(boxes, np.float64)[:, None]
    low = np.maximum(boxes[..., :2], regions[:, :2])
    high = np.minimum(boxes[..., 2:], regions[:, 2:])
    inside = (high - low).clip(min=0).prod(-1)
    area = (boxes[..., 2:] - boxes[..., :2]).prod(-1)
    ignored = ((inside > 0) & (inside >= min_share * area)).any(1)
    ignored[pairs[:, 0]] = False
    return np.asarray(ignored)


def _pairs(pairs: list[tuple[int, int]]) -> np.ndarray:
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)


def _joint_weights(true: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """``(G, K)`` weights; 1 for persons without any weight."""
    if weights is None:
        return np.ones(true.shape[:2])
    weights = np.asarray(weights, np.float64)
    return np.where(weights.any(-1, keepdims=True), weights, 1.0)
