# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The floor plane and the vertical.

Legend: ``T`` frames of a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aios.structures import SMPLX_144

from .legs import ANKLES, HIPS, Legs

_NECK = SMPLX_144.index('neck')
_STRETCHED = 0.95  # hip to ankle by bone lengths, of a straight leg
# Standard deviations from the vertical, radians: of the line from feet to neck
# of a standing person, and of a back.
_STANDING, _BACK = np.radians(4.0), np.radians(10.0)


@dataclass(frozen=True)
class Floor:
    """A plane; points are at the height ``up @ point + offset``.

    Attributes:
        up: ``(3,)`` unit vector in camera axes, against gravity.
        offset: Height of the camera over the floor, meters.
    """

    up: np.ndarray
    offset: float

    def heights(self, points: np.ndarray) -> np.ndarray:
        """Heights ``(...)`` of points ``(..., 3)`` over the floor, meters."""
        return points @ self.up + self.offset

    def project(self, points: np.ndarray) -> np.ndarray:
        """Project points ``(..., 3)`` onto the floor."""
        return points - self.heights(points)[..., None] * self.up


@dataclass(frozen=True)
class Upright:
    """Vertical estimated from bodies.

    Attributes:
        up: ``(3,)`` unit vector in camera axes.
        sigma: Standard deviation, radians.
    """

    up: np.ndarray
    sigma: float


def upright(legs: Sequence[Legs]) -> Upright:
    """Estimate the vertical from standing persons, else from all backs.

    Args:
        legs: One per person, with at least one frame in total.
    """
    standing, backs = [], []
    for person in legs:
        neck = person.joints[:, _NECK]
        feet = person.soles.mean((1, 2))
        standing.append((neck - feet)[_stands(person)])
        backs.append(neck - person.pelvis)
    lines, sigma = np.concatenate(standing), _STANDING
    if not len(lines):
        lines, sigma = np.concatenate(backs), _BACK
    return Upright(_median_direction(lines), float(sigma))


def _stands(legs: Legs) -> np.ndarray:
    """``(T,)`` whether both legs are straight."""
    reach = legs.joints[:, ANKLES] - legs.joints[:, HIPS]
    length = np.linalg.norm(reach, axis=-1, keepdims=True)
    return (length > _STRETCHED * legs.lengths).all((1, 2))


def _median_direction(lines: np.ndarray) -> np.ndarray:
    """Geometric median of directions (Weiszfeld's algorithm)."""
    lines = lines / np.linalg.norm(lines, axis=-1, keepdims=True)
    median = lines.mean(0)
    for _ in range(20):
        weights = 1 / np.maximum(np.linalg.norm(lines - median, axis=-1), 1e-3)
        median = weights @ lines / weights.sum()
    return median / np.linalg.norm(median)
