# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""``--ground``: ground the persons of a finished run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aios.body_models import BodyModel
from aios.ground import GroundError, ground_sequence, summarize
from aios.results import SequenceResult
from aios.utils.json_record import write_record

from .camera_motion import CameraMotion
from .post_processing import describe_cuts


def ground_file(
    path: Path,
    body_model: BodyModel,
    motion: CameraMotion | None = None,
    cuts: Sequence[int] = (),
) -> str:
    """Ground the persons of a file, which is replaced.

    ``ground.json`` beside it gets the report. If no floor is found it gets the
    reason, and the file does not change.

    Args:
        path: ``params.npz``.
        body_model: Body model of the results.
        motion: Motion of the camera; a moving camera has no static floor.
        cuts: First frames of the shots after the first one; each shot has
            its own floor.

    Returns:
        A note for the user.
    """
    persons = SequenceResult.load(path)
    report: dict[str, Any]
    try:
        if cuts:
            raise GroundError(
                f'{describe_cuts(cuts)}; process the shots one by one '
                '(--start, --end)'
            )
        if motion is not None and motion.moves:
            raise GroundError(
                f'the camera must not move, but in {motion.share:.0%} of the '
                'frames the background differs from that of the frames '
                'before'
            )
        grounded, report = ground_sequence(persons, body_model)
    except GroundError as error:
        report = {'floor': None, 'reason': str(error)}
        note = f'not put on a floor: {error}'
    else:
        grounded.save(path, overwrite=True)
        note = summarize(report)
    write_record(path.with_name('ground.json'), report)
    return note
