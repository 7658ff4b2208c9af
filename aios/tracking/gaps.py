# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Interpolate tracks in frames in which the person was not detected."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np

from aios.results import FrameResult, SequenceResult
from aios.results.poses import PoseRotations

from .smoothing import MIN_DEPTH

_Row = dict[str, np.ndarray]


def fill_gaps(
    persons: SequenceResult,
    body_model: Any,
    max_gap: int = 30,
) -> SequenceResult:
    """Add persons where their tracks have gaps.

    A missing person is interpolated between the last frame before the gap and
    the first one after it: rotations on the shortest arc, the pelvis by its
    direction from the camera and the logarithm of its depth, everything else
    linearly.  The score of added persons is 0.

    Args:
        persons: With ids of a tracker.
        body_model: SMPL-X layer of the results, or its config.
        max_gap: Largest number of frames to fill.

    Returns:
        The same persons; in each frame the added ones come last.

    Raises:
        ValueError: If ``max_gap`` is negative, or the bodies have no SMPL-X
            parameters.
    """
    from aios.body_models import BodyPoser

    if max_gap < 0:
        raise ValueError(f'max_gap must not be negative, got {max_gap}')
    persons.check_parameters()
    poser = BodyPoser(body_model)
    frames = list(persons.frames())
    poses = PoseRotations(poser.layer())
    missing = _missing(frames, persons.times(), max_gap, poses)
    for number, rows in missing.items():
        frame = frames[number]
        added = frame.with_rows(rows).posed(
            poser, 'vertices' in frame.instances
        )
        frames[number] = frame.with_fields(
            **{
                name: np.concatenate([values, added.instances[name]])
                for name, values in frame.instances.items()
            }
        )
    return SequenceResult.from_frames(frames, **persons.metadata)


def _missing(
    frames: list[FrameResult],
    times: np.ndarray,
    max_gap: int,
    poses: PoseRotations,
) -> dict[int, list[_Row]]:
    """Interpolated persons by frame number."""
    last: dict[int, tuple[int, _Row]] = {}
    missing = defaultdict(list)
    for number, frame in enumerate(frames):
        for index, person in enumerate(frame.instances['person_id'].tolist()):
            row = {n: values[index] for n, values in frame.instances.items()}
            before, start = last.get(person, (number, row))
            last[person] = number, row
            if number - before - 1 > max_gap:
                continue
            for hole in range(before + 1, number):
                share = times[hole] - times[before]
                share /= times[number] - times[before]
                missing[hole].append(_between(start, row, share, poses))
    return missing


def _between(
    start: Mapping[str, np.ndarray],
    end: Mapping[str, np.ndarray],
    weight: float,
    poses: PoseRotations,
) -> _Row:
    """A person between two of the same track; joints are not computed."""
    row = {
        name: (1 - weight) * start[name] + weight * end[name] for name in start
    }
    row['person_id'], row['scores'] = start['person_id'], np.zeros(())
    row |= poses.interpolate(start, end, weight)
    # The pelvis of the rest pose is linear in the shape coefficients.
    rest = row['joints3d'][0] - row['transl']
    row['transl'] = _position(start, end, weight) - rest
    return row


def _position(
    start: Mapping[str, np.ndarray],
    end: Mapping[str, np.ndarray],
    weight: float,
) -> np.ndarray:
    """Position ``(3,)`` of the pelvis, meters."""
    ends = np.stack([start['joints3d'][0], end['joints3d'][0]])
    weights = np.array([1 - weight, weight])
    if ends[:, 2].min() < MIN_DEPTH:
        return weights @ ends
    depth = np.exp(weights @ np.log(ends[:, 2]))
    return depth * (weights @ (ends / ends[:, 2:]))
