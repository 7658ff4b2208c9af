# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Motion of a person in the world, at an even frame rate.

Legend: ``T`` frames of a file, ``J`` joints.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from aios.results import SequenceResult

from .axes import world_axes
from .rig import PersonMotion, Rig

_Rows = TypeVar('_Rows', np.ndarray, Rotation)
_MAX_FRAMES = 1_000_000  # nine hours, including filled gaps
_UNEVEN = 0.25  # frames; larger deviations mean that the rate changes


@dataclass(frozen=True)
class WorldMotion:
    """Motion for formats with one person per file.

    Attributes:
        source: The motion in the results.
        time: Frames of the file.
        pelvis: ``(T, 3)`` meters, in the axes of :func:`.world_axes`.
        rotations: ``J`` times ``T``, relative to the parent; the root in the
            same axes.
    """

    source: PersonMotion
    time: EvenTime
    pelvis: np.ndarray
    rotations: list[Rotation]

    @classmethod
    def of(
        cls,
        sequence: SequenceResult,
        rig: Rig,
        person_id: int,
        fps: float,
        up: str,
    ) -> WorldMotion:
        """Interpolate the motion of a person.

        Args:
            sequence: The results.
            rig: Rig of their body model.
            person_id: Id of the person.
            fps: Frames per second if the sequence has none.
            up: See :func:`.world_axes`.

        Raises:
            ValueError: If no person has this id, ``fps`` is not positive, or
                there are too many frames.
        """
        if not 0 < fps < np.inf:
            raise ValueError(f'fps must be positive and finite, got {fps}')
        motion = PersonMotion.of(sequence, person_id, rig)
        time = EvenTime.of(sequence, motion, fps)
        world, camera = world_axes(sequence, up)
        # The root rotates about the pelvis, which is not the origin of a
        # shape.
        pelvis = motion.transl + rig.rest_joints(motion.coefficients)[:, 0]
        rotations = [
            Rotation.from_quat(quaternions)
            for quaternions in motion.rotations.swapaxes(0, 1)
        ]
        rotations[0] = world * rotations[0]
        return cls(
            motion,
            time,
            time.interpolate(world.apply(pelvis) + camera),
            [time.interpolate(rotation) for rotation in rotations],
        )


@dataclass(frozen=True)
class EvenTime:
    """Evenly spaced frames from a person's first to last frame.

    Frames are missing after a slow live run or the option ``--frames``, and
    in gaps of the track.

    Attributes:
        keys: ``(n,)`` times of the person's frames in units of the new
            frames, ascending; whole numbers unless the rate changes.
        wanted: ``(T,)`` numbers of the new frames, from 0 for the first frame
            of the sequence.
        missing: ``(T,)`` whether the person was not detected at that time.
        rate: New frames per second.
    """

    keys: np.ndarray
    wanted: np.ndarray
    missing: np.ndarray
    rate: float

    @classmethod
    def of(
        cls, sequence: SequenceResult, motion: PersonMotion, fps: float
    ) -> EvenTime:
        """Create the frames of a person.

        Args:
            sequence: The results.
            motion: Motion of a person in them.
            fps: Frames per second if the sequence has none.

        Raises:
            ValueError: If there are more than 1,000,000 frames.
        """
        slots, times, rate = _time_grid(sequence, fps)
        numbers, keys = slots[motion.frames], times[motion.frames]
        first, last = (int(n) for n in np.rint(keys[[0, -1]]))
        if last - first >= _MAX_FRAMES:
            raise ValueError(
                f'person {motion.person_id}: source_frames span '
                f'{last - first + 1} frames, allowed are {_MAX_FRAMES}'
            )
        wanted = np.arange(first, last + 1)
        after = np.searchsorted(keys, wanted).clip(1, max(len(keys) - 1, 1))
        has_gap = np.diff(numbers, append=numbers[-1] + 1)[after - 1] > 1
        missing = has_gap & ~np.isin(wanted, np.rint(keys))
        # Persons with score 0 fill gaps (aios.tracking.fill_gaps).
        is_filler = sequence.scores[motion.rows] == 0
        missing |= np.interp(wanted, keys, is_filler) >= 0.5
        return cls(keys, wanted, missing, rate)

    def interpolate(self, values: _Rows) -> _Rows:
        """Interpolate values linearly, rotations by slerp.

        Args:
            values: Values at the keys: ``(n, d)``, or ``n`` rotations.

        Returns:
            Values at the wanted frames.
        """
        if np.array_equal(self.wanted, self.keys):
            return values
        # The ends may be rounded to a time just outside.
        wanted = self.wanted.clip(self.keys[0], self.keys[-1])
        if isinstance(values, Rotation):
            if len(self.keys) == 1:
                return values[np.zeros(len(wanted), int)]
            return Slerp(self.keys, values)(wanted)
        columns = [np.interp(wanted, self.keys, column) for column in values.T]
        return np.stack(columns, axis=1)


def _time_grid(
    sequence: SequenceResult, fps: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Numbers ``(F,)`` of the frames, their times, and the rate in Hz.

    Times are in units of the evenly spaced frames, and equal the numbers
    unless the frame rate changes.
    """
    numbers, times = sequence.source_frames, sequence.timestamps
    if not (np.diff(numbers) > 0).all():  # images
        slots = np.arange(sequence.num_frames)
        return slots, slots, sequence.fps or fps
    slots = (numbers - numbers[0]) // (np.gcd.reduce(np.diff(numbers)) or 1)
    steps = np.diff(times)
    if not len(steps) or not (steps > 0).all():
        return slots, slots, sequence.fps or fps
    seconds = times - times[0]
    # ``sequence.fps`` is not the rate of frames if some were left out.
    rate = slots[-1] / seconds[-1]
    if (np.abs(seconds * rate - slots) > _UNEVEN).any():
        rate = 1 / float(np.median(steps / np.diff(slots)))
        return slots, seconds * rate, round(rate, 6)
    return slots, slots, round(float(rate), 6)
