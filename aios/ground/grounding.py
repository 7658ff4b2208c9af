# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""From tracks to a floor and persons who stand on it.

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

# Times the belief of heights, per round, while sizes are unknown: feet of a
# child must not be outliers before it is known how small it is.
_WIDE = (30.0, 6.0, 1.0)
_LOOSE = 1.8  # speeds are measured that badly before the first fit
_FEWEST = 3  # contacts
_OFF = 0.25  # metres from the floor at which no person stands on it
_HASTE = 1.7  # times the speed of standing feet, where depths are noisier


class GroundError(ValueError):
    """No floor can be found; the message says why."""


class FloorMissedError(GroundError):
    """Most persons are not on the floor that was found."""


@dataclass(frozen=True)
class GroundOptions:
    """How a floor is found.

    Args:
        contacts: When a foot stands.
        beliefs: How much to trust what.
        max_gap: Seconds without a person after which its track is cut.
    """

    contacts: ContactOptions = ContactOptions()
    beliefs: Beliefs = Beliefs()
    max_gap: float = 0.25

    def hasty(self) -> GroundOptions:
        """Faster feet count as standing, for results that shake more."""
        slow, fast = self.contacts.speed
        speed = (_HASTE * slow, _HASTE * fast)
        return replace(self, contacts=replace(self.contacts, speed=speed))


def find_floor(tracks: Sequence[Track], options: GroundOptions) -> Floor:
    """Find the floor, contacts and paths of all persons.

    Args:
        tracks: Their contacts, shifts and targets are set.
        options: Thresholds.

    Raises:
        GroundError: If feet are not seen, or do not stand.
    """
    if not any(track.seen.any() for track in tracks):
        raise GroundError('no person whose feet are in the image')
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
        found = sum(len(track.stands()) for track in tracks)
        if found < _FEWEST:
            raise GroundError(
                'no feet stand still for long enough to tell where the floor '
                f'is ({found} contacts, {_FEWEST} are needed)'
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
        raise GroundError('no floor fits the paths of persons')
    return floor


def check_floor(tracks: Sequence[Track], floor: Floor) -> dict[int, float]:
    """Ask whether persons are on the floor.

    Args:
        tracks: Fitted to the floor.
        floor: The floor.

    Returns:
        Metres over the floor, or below it, by id of those who are far from
        it: medians of the lowest points of their soles.

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
            f'in {is_off.mean():.0%} of the frames the feet of persons are '
            f'more than {_OFF} m from the floor that fits best; depths or the '
            'focal length are too wrong, or persons are not on one floor'
        )
    medians = {p: float(np.median(x)) for p, x in persons.items() if len(x)}
    return {p: x for p, x in medians.items() if abs(x) > _OFF}


def lock_tracks(tracks: Sequence[Track], floor: Floor) -> list[Legs]:
    """Legs of the persons, moved, with feet that stand still."""
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
