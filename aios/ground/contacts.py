# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Detect contacts of heels and toes with the floor.

Legend: ``T`` frames of a person, ``P`` points of the soles.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d


@dataclass(frozen=True)
class ContactOptions:
    """Thresholds of contacts.

    Args:
        speed: Meters per second below which a contact begins, and above
            which it ends.
        height: Meters over the floor, in the same way.
        smooth: Seconds over which positions are smoothed to measure speeds.
        shortest: Duration in seconds below which contacts are ignored.
    """

    speed: tuple[float, float] = (0.3, 0.55)
    height: tuple[float, float] = (0.06, 0.1)
    smooth: float = 0.07
    shortest: float = 0.1


def find_contacts(
    points: np.ndarray,
    heights: np.ndarray,
    times: np.ndarray,
    options: ContactOptions,
) -> np.ndarray:
    """Contacts, with hysteresis in speed and height.

    Args:
        points: ``(T, P, 3)`` meters, in a static coordinate system.
        heights: ``(T, P)`` meters over the floor.
        times: ``(T,)`` seconds, ascending.
        options: Thresholds.

    Returns:
        ``(T, P)`` bool.
    """
    if len(points) < 3:
        return np.zeros(heights.shape, bool)
    step = float(np.median(np.diff(times)))
    smooth = gaussian_filter1d(points, options.smooth / step, axis=0)
    speed = np.linalg.norm(np.gradient(smooth, times, axis=0), axis=-1)
    heights = gaussian_filter1d(heights, options.smooth / step, axis=0)
    strict, loose = (
        (speed < options.speed[i]) & (heights < options.height[i])
        for i in range(2)
    )
    contacts = np.zeros_like(loose)
    shortest = max(2, round(options.shortest / step))
    for point in range(contacts.shape[1]):
        for first, end in intervals(loose[:, point]):
            if strict[first:end, point].any() and end - first >= shortest:
                contacts[first:end, point] = True
    return contacts


def intervals(mask: np.ndarray) -> Iterator[tuple[int, int]]:
    """First and last index (excluded) of each run of True in ``(T,)``."""
    edges = np.diff(np.concatenate([[0], mask.astype(np.int8), [0]]))
    yield from zip(
        np.flatnonzero(edges > 0).tolist(),
        np.flatnonzero(edges < 0).tolist(),
        strict=True,
    )
