# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Sizes of persons who stand on one floor.

A person who is larger than predicted is farther away as well and looks the
same, but the feet would be below the floor of the others.  So the floor
determines relative sizes, and a prior of heights the common scale.

Symbols: ``n`` persons.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aios.body_models import BodyPoser
from aios.results import SequenceResult

from .heights import height_limits, set_heights, standing_heights
from .solve import Track

# Mean and standard deviation of the heights of adults, women and men together,
# meters: 1.613 and 1.753 m, each with about 0.07 m (National Center for Health
# Statistics, Vital and Health Statistics 3-46, 2021).
_MEAN, _SIGMA = 1.68, 0.10
_CHILD, _CHILDREN = 0.1, (0.8, 1.6)  # fraction of children, their heights
_MAX_LOG = 0.7  # logarithm of the largest factor


def adult_scale(heights: np.ndarray) -> float:
    """Scale factor of heights under a prior of adults and children.

    Most persons are adults and some are children, but none is a giant, so a
    child in the image does not make adults taller.

    Args:
        heights: ``(n,)`` meters, correct up to a common factor.
    """
    logs = np.linspace(-_MAX_LOG, _MAX_LOG, 1001)
    meters = np.outer(np.exp(logs), heights)
    density = np.exp(-(((meters - _MEAN) / _SIGMA) ** 2) / 2)
    density *= (1 - _CHILD) / (_SIGMA * np.sqrt(2 * np.pi))
    low, high = _CHILDREN
    density += _CHILD / (high - low) * ((meters > low) & (meters < high))
    likelihood = np.log(density + 1e-12).sum(1)
    total = np.cumsum(np.exp(likelihood - likelihood.max()))
    # The median of the posterior: the maximum jumps, and the mean makes single
    # adults smaller because of the prior of children.
    return float(np.exp(logs[np.searchsorted(total, total[-1] / 2)]))


def set_sizes(
    sequence: SequenceResult, tracks: Sequence[Track], poser: BodyPoser
) -> tuple[SequenceResult, dict[int, tuple[float, float]], dict[int, float]]:
    """Scale persons so that all stand on one floor.

    Args:
        sequence: Persons before scaling.
        tracks: Their tracks with relative sizes. If some sizes are known, they
            set the scale; otherwise most persons are assumed to be adults.
        poser: Body model of the results.

    Returns:
        The persons, heights in meters before and after by ``person_id``, and
        remaining scale factors, which differ from 1 where the body model
        reaches its limits. Persons without contacts are not changed.
    """
    sizes = {t.person: t.size for t in tracks if t.contacts.any()}
    betas = np.array(
        [sequence.betas[sequence.person_id == p].mean(0) for p in sizes]
    )
    before = standing_heights(betas, poser)
    after = before * list(sizes.values())
    if not any(t.sized and t.person in sizes for t in tracks):
        after *= adult_scale(after)
    wanted = after
    after = np.clip(after, *height_limits(before, poser))
    left = dict(zip(sizes, (wanted / after).tolist(), strict=True))
    heights: dict[int | None, float] = dict(
        zip(sizes, after.tolist(), strict=True)
    )
    changes = {
        person: (round(old, 3), round(new, 3))
        for person, old, new in zip(
            sizes, before.tolist(), after.tolist(), strict=True
        )
    }
    return set_heights(sequence, heights, poser), changes, left
