# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""``--ground``: the persons of a finished run are put on their floor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aios.body_models import BodyModel
from aios.ground import GroundError, ground_sequence, size_notes
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
    people = SequenceResult.load(path)
    report: dict[str, Any]
    try:
        if motion is not None and motion.moves:
            raise GroundError(
                f'the camera moves ({motion.share:.0%} of the frames have '
                'another background than shortly before); it must stand still'
            )
        grounded, report = ground_sequence(people, body_model)
    except GroundError as error:
        report = {'floor': None, 'reason': str(error)}
        note = f'not put on a floor: {error}'
    else:
        grounded.save(path, overwrite=True)
        note = _summary(report)
    write_record(path.with_name('ground.json'), report)
    return note


def _summary(report: dict[str, Any]) -> str:
    """What a person wants to read of a report."""
    lines = [
        f'camera {report["camera_height_m"]:.2f} m over the floor, pitch '
        f'{report["camera_pitch_deg"]:.1f} degrees; '
        f'{report["contacts"]} contacts of feet'
    ]
    if report['heights_m']:
        found, sized = zip(*report['heights_m'].values(), strict=True)
        lines.append(
            f'  heights of persons: {min(found):.2f} to {max(found):.2f} m -> '
            f'{min(sized):.2f} to {max(sized):.2f} m'
        )
    lines += [f'  {note}' for note in size_notes(report)]
    for name, before in report['before'].items():
        after = report['after'][name]
        if before is not None:
            what = name.removesuffix('_mm').replace('_', ' ')
            lines.append(f'  {what}: {before:.1f} -> {after:.1f} mm')
    return '\n'.join(lines)
