# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Find the floor of tracks, and lock feet to it.

Legend: ``T`` frames of a track, ``P`` = 4 points of the soles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .contacts import ContactOptions, find_contacts
from .floor import Floor, upright
from .legs import Legs
from .lock import lock_feet
from .solve import Beliefs, Track, fit_paths

# Factors of the tolerance of heights, per round, while sizes are unknown: feet
# of children must not be outliers before their sizes are known.
_WIDE = (30.0, 6.0, 1.0)
_LOOSE = 1.8  # factor of speed thresholds before the first fit
_MIN_CONTACTS = 3
_OFF = 0.25  # meters from the floor beyond which a person is not on it
_HASTE = 1.7  # factor of speed thresholds for results with noisier depths


class GroundError(ValueError):
    """No floor can be found; the message says why."""


class FloorMissedError(GroundError):
    """Most persons are not on the floor that was found."""


@dataclass(frozen=True)
class GroundOptions:
    """Options of grounding.

    Args:
        contacts: Thresholds of contacts.
        beliefs: Standard deviations of the terms.
        max_gap: Seconds without a person after which its track is split.
    """

    contacts: ContactOptions = ContactOptions()
    beliefs: Beliefs = Beliefs()
    max_gap: float = 0.25

    def hasty(self) -> GroundOptions:
        """Options with higher speed thresholds, for noisier results."""
        slow, fast = self.contacts.speed
        speed = (_HASTE * slow, _HASTE * fast)
        return replace(self, contacts=replace(self.contacts, speed=speed))


def find_floor(tracks: Sequence[Track], options: GroundOptions) -> Floor:
    """Find the floor, contacts and paths of all persons.

    Args:
        tracks: Their contacts, shifts and targets are set in place.
        options: Thresholds.

    Raises:
        GroundError: If no feet are visible, or too few contacts are found.
    """
    if not any(track.seen.any() for track in tracks):
        raise GroundError('no person has feet inside the image')
    vertical = upright([track.legs for track in tracks])
    floor = Floor(vertical.up, 0.0)
    beliefs = options.beliefs
    fit_paths(tracks, floor, vertical, beliefs)
    speed = options.contacts.speed
    loose = replace(
        options.contacts, speed=(_LOOSE * speed[0], _LOOSE * speed[1])
    )
    for turn, wide in enumerate(_WIDE):
        for track in tracks:
            heights = track.below(floor).heights(track.soles)
            if turn == 0:
                heights = heights - heights.min(1, keepdims=True)
            track.contacts = track.seen & find_contacts(
                track.soles,
                heights,
                track.times,
                options.contacts if turn else loose,
            )
        count = sum(len(track.stands()) for track in tracks)
        if count < _MIN_CONTACTS:
            raise GroundError(
                'feet rest on the floor too rarely to estimate its plane: '
                f'{count} contacts, {_MIN_CONTACTS} are needed'
            )
        if turn == 0:
            standing = [
                track.size * track.soles[track.contacts] for track in tracks
            ]
            middle = np.median(np.concatenate(standing) @ floor.up)
            floor = replace(floor, offset=-float(middle))
        if beliefs.size:
            height = wide * options.beliefs.floor
            beliefs = replace(beliefs, floor=height)
        floor = fit_paths(tracks, floor, vertical, beliefs)
    sizes = [track.size for track in tracks]
    if not np.isfinite([*floor.up, floor.offset, *sizes]).all():
        raise GroundError('no plane fits the paths of the persons')
    return floor


def check_floor(tracks: Sequence[Track], floor: Floor) -> dict[int, float]:
    """Check that persons are on the floor.

    Args:
        tracks: Fitted to the floor.
        floor: The floor.

    Returns:
        By id of persons far from the floor, the median height in meters of
        the lowest points of their soles; negative below the floor.

    Raises:
        FloorMissedError: If feet are far from it in most frames.
    """
    lowest: dict[int, list[np.ndarray]] = {}
    for track in tracks:
        heights = track.below(floor).heights(track.soles).min(1)
        seen = heights[track.seen.any(1)]
        lowest.setdefault(track.person, []).append(seen)
    persons = {p: np.concatenate(parts) for p, parts in lowest.items()}
    is_off = np.abs(np.concatenate(list(persons.values()))) > _OFF
    if is_off.mean() > 0.5:
        raise FloorMissedError(
            f'in {is_off.mean():.0%} of the frames feet are more than {_OFF} '
            'm off the fitted floor; depths or the focal length are '
            'inaccurate, or persons are not on one floor'
        )
    medians = {p: float(np.median(x)) for p, x in persons.items() if len(x)}
    return {p: x for p, x in medians.items() if abs(x) > _OFF}


def lock_tracks(tracks: Sequence[Track], floor: Floor) -> list[Legs]:
    """Shifted legs of the persons, with feet locked during contacts."""
    return [
        lock_feet(
            track.legs.shifted(track.shift),
            track.targets.reshape(len(track.rows), 2, 2, 3),
            track.seen.reshape(len(track.rows), 2, 2),
            track.below(floor),
            track.step,
        )
        for track in tracks
    ]
