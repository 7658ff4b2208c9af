# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""``--fill-gaps``: fill the gaps of tracks in the file of a finished run."""

from __future__ import annotations

from pathlib import Path

from aios.body_models import BodyModel
from aios.results import SequenceResult
from aios.tracking import fill_gaps


def fill_file(path: Path, body_model: BodyModel, max_gap: int) -> list[str]:
    """Fill the gaps of a file, which is replaced.

    Args:
        path: ``params.npz``. That of separate images does not change.
        body_model: Body model of the results.
        max_gap: See :func:`aios.tracking.fill_gaps`.

    Returns:
        Notes for the user.
    """
    persons = SequenceResult.load(path)
    if persons.are_images:
        return ['gaps are filled in videos only, not between separate images']
    fill_gaps(persons, body_model, max_gap).save(path, overwrite=True)
    return []
