# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Measures of contact with the floor, in millimeters.

Legend: ``T`` frames of a person, ``P`` points of the soles.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .floor import Floor
from .legs import Legs

MEASURES = (
    'foot_slide_mm',
    'penetration_mm',
    'float_mm',
    'acceleration_mm',
)
_BODY = 22  # joints of body without hands and face


def measure(
    legs: Sequence[Legs], contacts: Sequence[np.ndarray], floor: Floor
) -> dict[str, float | None]:
    """Measure persons against a floor.

    Args:
        legs: One per person.
        contacts: One ``(T, P)`` bool per person, which points stand.
        floor: The floor.

    Returns:
        Means, ``None`` if undefined:

        * ``foot_slide_mm``: motion of a standing point from one frame to the
          next;
        * ``penetration_mm``: depth of the lowest point below the floor, or 0,
          over all frames;
        * ``float_mm``: height of standing points above the floor, or 0;
        * ``acceleration_mm``: second difference of the positions of 22
          joints, per frame².
    """
    slides, depths, floats, accelerations = [], [], [], []
    for person, stands in zip(legs, contacts, strict=True):
        soles = person.soles.reshape(len(person), -1, 3)
        steps = np.linalg.norm(np.diff(soles, axis=0), axis=-1)
        slides.append(steps[stands[1:] & stands[:-1]])
        heights = floor.heights(soles)
        depths.append(np.maximum(-heights.min(1), 0))
        floats.append(np.maximum(heights[stands], 0))
        second = np.diff(person.joints[:, :_BODY], 2, axis=0)
        accelerations.append(np.linalg.norm(second, axis=-1).ravel())
    values = (slides, depths, floats, accelerations)
    return {
        name: _mean_mm(np.concatenate(parts))
        for name, parts in zip(MEASURES, values, strict=True)
    }


def size_notes(report: Mapping[str, Any]) -> list[str]:
    """Notes for the user about persons who are not on the floor.

    Args:
        report: Of :func:`aios.ground.ground_sequence`.
    """
    sizes = [
        f'person {person} should be {factor:.2f} times as large, more than '
        'the body model allows, and is not on the floor'
        for person, factor in report['clipped_sizes'].items()
    ]
    return sizes + [
        f'person {person} is {abs(height):.2f} m '
        f'{"over" if height > 0 else "below"} the floor'
        for person, height in report['off_floor_m'].items()
    ]


def summarize(report: Mapping[str, Any]) -> str:
    """Format a report for the console, in several lines.

    Args:
        report: Of :func:`aios.ground.ground_sequence`.
    """
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


def _mean_mm(values: np.ndarray) -> float | None:
    return round(1000 * float(values.mean()), 3) if len(values) else None
