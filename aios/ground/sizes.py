# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""How large persons are who stand on one floor.

Whoever is larger than a network says is farther away as well, and looks the
same; but feet at that distance would be below the floor of the others.  So the
floor tells the sizes of persons relative to each other, and what is known of
the heights of persons the size of all of them.

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
# metres: 1.613 and 1.753 m, each with about 0.07 m (National Center for Health
# Statistics, Vital and Health Statistics 3-46, 2021).
_MEAN, _SIGMA = 1.68, 0.10
_CHILD, _CHILDREN = 0.1, (0.8, 1.6)  # share of persons, and their heights
_LARGEST = 0.7  # logarithm of a factor


def adult_scale(heights: np.ndarray) -> float:
    """Factor that makes heights those of persons.

    Most persons are adults. Some are children, none is a giant, so a child
    does not make an adult taller.

    Args:
        heights: ``(n,)`` metres, right relative to each other.
    """
    logs = np.linspace(-_LARGEST, _LARGEST, 1001)
    metres = np.outer(np.exp(logs), heights)
    density = np.exp(-(((metres - _MEAN) / _SIGMA) ** 2) / 2)
    density *= (1 - _CHILD) / (_SIGMA * np.sqrt(2 * np.pi))
    low, high = _CHILDREN
    density += _CHILD / (high - low) * ((metres > low) & (metres < high))
    chances = np.log(density + 1e-12).sum(1)
    total = np.cumsum(np.exp(chances - chances.max()))
    # The median: unlike the maximum it does not jump, unlike the mean it
    # does not make a single adult smaller for the children there are.
    return float(np.exp(logs[np.searchsorted(total, total[-1] / 2)]))


def set_sizes(
    sequence: SequenceResult, tracks: Sequence[Track], poser: BodyPoser
) -> tuple[SequenceResult, dict[int, tuple[float, float]], dict[int, float]]:
    """Make persons as large as they must be to stand on one floor.

    Args:
        sequence: Persons as found.
        tracks: Of them, with sizes relative to each other. If those of some
            are known, the others are made to fit; else most are adults.
        poser: Of the body model of the results.

    Returns:
        The persons, heights in metres before and after by ``person_id``, and
        how many times larger they should be still: not 1 where the body model
        reaches its limits.
        Of those whose feet never stand nothing is known; they stay.
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
