# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""``--ground``: the persons of a finished run are put on their floor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aios.body_models import BodyModel
from aios.ground import GroundError, ground_sequence, summarize
from aios.results import SequenceResult
from aios.utils.json_record import write_record

from .camera_motion import CameraMotion


def ground_file(
    path: Path, body_model: BodyModel, motion: CameraMotion | None = None
) -> str:
    """Ground the persons of a file, which is replaced.

    ``ground.json`` beside it says what was measured; or why there is no
    floor, and then the file stays as it is.

    Args:
        path: ``params.npz``.
        body_model: The one the results were made with.
        motion: What was seen of the camera's motion. One that moves has no
            floor that stands still.

    Returns:
        A note for the user.
    """
    persons = SequenceResult.load(path)
    report: dict[str, Any]
    try:
        if motion is not None and motion.moves:
            raise GroundError(
                f'the camera moves ({motion.share:.0%} of the frames have '
                'another background than shortly before); it must stand still'
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
