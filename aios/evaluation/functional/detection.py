# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Precision, recall, F1 and average precision from counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class DetectionCounts:
    """Counts of a detection benchmark.  Ratios over zero items are 0.

    Args:
        found: Predictions that match a person (true positives).
        wrong: Predictions that match no person (false positives).
        missed: Persons without a prediction (false negatives).
    """

    found: int
    wrong: int
    missed: int

    @property
    def precision(self) -> float:
        """Share of the predictions that match a person."""
        return self.found / max(1, self.found + self.wrong)

    @property
    def recall(self) -> float:
        """Share of the persons that were found."""
        return self.found / max(1, self.found + self.missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = 2 * self.found + self.wrong + self.missed
        return 2 * self.found / max(1, total)


def average_precision(
    scores: np.ndarray, is_person: np.ndarray, num_persons: int
) -> float:
    """Area under the precision-recall curve.

    The precision at a recall is the best one at this or a higher recall, as
    in PASCAL VOC 2010 and later (COCO samples the same curve at 101 points).

    Args:
        scores: ``(P,)`` of all predictions.
        is_person: ``(P,)`` bool, predictions that were matched.
        num_persons: Number of persons.

    Returns:
        In [0, 1]; 0 without persons.
    """
    if not num_persons or not len(scores):
        return 0.0
    order = np.argsort(-np.asarray(scores), kind='stable')
    hits = np.asarray(is_person, bool)[order]
    found = hits.cumsum()
    precision = found / np.arange(1, len(hits) + 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float(best[hits].sum() / num_persons)


def normalized_error(error: float, f1: float) -> float | None:
    """Error normalized by F1: NMVE of MVE, NMJE of MPJPE (AGORA, CVPR 2021).

    Args:
        error: Mean error of the matched persons.
        f1: F1 of the detection, in [0, 1].

    Returns:
        ``error / f1``; None if ``f1`` is 0, where it is not defined.
    """
    return error / f1 if f1 > 0 else None
