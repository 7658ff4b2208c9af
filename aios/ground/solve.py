# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Joint fit of the paths of persons and the floor.

The terms of one sparse least-squares problem are:

* the pelvis is at the predicted position, up to a few millimeters across the
  viewing ray and some percent along it; the error along it is partly a slow
  drift;
* accelerations are small;
* a foot in contact does not move, and is on the floor;
* standing persons are perpendicular to the floor.

It is solved by Gauss-Newton steps with robust weights.

Legend: ``T`` frames of a track, ``P`` = 4 points of the soles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import splu

from .contacts import intervals
from .floor import Floor, Upright
from .legs import Legs

_STEPS = 4  # Gauss-Newton steps
_SURE = 1e-4  # standard deviation of a known size


@dataclass(frozen=True)
class Beliefs:
    """Standard deviations of the terms.

    Args:
        across: Pelvis across the ray, relative to its depth.
        depth: Depth of the pelvis from frame to frame, relative to it.
        drift: Slow error of the depth, relative to it.
        drift_seconds: Correlation time of that error.
        acceleration: Acceleration of the pelvis, relative to its depth, per
            square second.
        foot: Standing point of a foot relative to the pelvis, meters.
        slip: Slow change of that error, meters per second.
        floor: Height of a standing foot over the floor, meters.
        size: Size of a person, relative to it; 0 if sizes are correct.
    """

    across: float = 0.004
    depth: float = 0.015
    drift: float = 0.04
    drift_seconds: float = 5.0
    acceleration: float = 1.6
    foot: float = 0.05
    slip: float = 0.08
    floor: float = 0.01
    size: float = 0.2


@dataclass
class Track:
    """A person in consecutive frames.

    A person who is larger than predicted is farther away by the same factor.
    Coordinates here are of the predicted size, so the floor is scaled instead.

    Attributes:
        person: Id.
        rows: ``(T,)`` rows of the results.
        times: ``(T,)`` seconds.
        legs: Predicted legs.
        seen: ``(T, P)`` whether points are inside the image.
        contacts: ``(T, P)`` whether points are in contact.
        shift: ``(T, 3)`` correction of the position, meters.
        targets: ``(T, P, 3)`` contact points; NaN without contact.
        sized: Whether the predicted size is known to be correct.
        believed: Prior of :attr:`size`.
        size: True size divided by the predicted size.
    """

    person: int
    rows: np.ndarray
    times: np.ndarray
    legs: Legs
    seen: np.ndarray
    sized: bool = False
    contacts: np.ndarray = field(init=False)
    shift: np.ndarray = field(init=False)
    targets: np.ndarray = field(init=False)
    believed: float = 1.0
    size: float = 1.0

    def __post_init__(self) -> None:
        self.contacts = np.zeros(self.seen.shape, bool)
        self.shift = np.zeros((len(self.rows), 3))
        self.targets = np.full((*self.seen.shape, 3), np.nan)

    @property
    def step(self) -> float:
        """Seconds between frames."""
        return float(np.median(np.diff(self.times)))

    @property
    def soles(self) -> np.ndarray:
        """Points of the soles ``(T, P, 3)``, moved by :attr:`shift`."""
        points = self.legs.soles.reshape(len(self.rows), -1, 3)
        return points + self.shift[:, None]

    def rays(self) -> tuple[np.ndarray, np.ndarray]:
        """Rays ``(T, 3)`` to the predicted pelvis, and depths ``(T, 1)``."""
        pelvis = self.legs.pelvis
        ray = pelvis / np.linalg.norm(pelvis, axis=-1, keepdims=True)
        return ray, (ray * (pelvis + self.shift)).sum(-1, keepdims=True)

    def below(self, floor: Floor) -> Floor:
        """The floor scaled to the predicted size of the person."""
        return replace(floor, offset=floor.offset / self.size)

    def stands(self) -> list[tuple[int, int, int]]:
        """Point, first and last frame (excluded) of each contact."""
        return [
            (point, first, end)
            for point in range(self.contacts.shape[1])
            for first, end in intervals(self.contacts[:, point])
        ]


class _System:
    """Linear equations, solved by least squares."""

    def __init__(self) -> None:
        self.size = self.count = 0
        self._parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self._right: list[np.ndarray] = []

    def unknowns(self, *shape: int) -> np.ndarray:
        """Indices of new unknowns."""
        count = int(np.prod(shape))
        self.size += count
        return np.arange(self.size - count, self.size).reshape(shape)

    def add(
        self,
        columns: np.ndarray,
        values: np.ndarray | float,
        right: np.ndarray | float,
    ) -> None:
        """Add ``m`` equations with ``k`` unknowns each.

        Args:
            columns: ``(m, k)`` indices of unknowns.
            values: Coefficients, broadcast to ``(m, k)``.
            right: Right-hand sides, broadcast to ``(m,)``.
        """
        columns = np.asarray(columns)
        count, width = columns.shape
        rows = np.repeat(np.arange(self.count, self.count + count), width)
        values = np.broadcast_to(values, columns.shape)
        self._parts.append((rows, columns.ravel(), values.ravel()))
        self._right.append(np.broadcast_to(right, count))
        self.count += count

    def solve(self) -> np.ndarray:
        """Solution ``(size,)``; NaN if the system is singular."""
        rows, columns, values = map(
            np.concatenate, zip(*self._parts, strict=True)
        )
        matrix = sparse.csr_matrix(
            (values, (rows, columns)), (self.count, self.size)
        )
        normal = (matrix.T @ matrix).tocsc()
        right = matrix.T @ np.concatenate(self._right)
        try:
            # Positive definite, so no pivoting, which would undo the ordering.
            factors = splu(
                normal,
                permc_spec='MMD_AT_PLUS_A',
                diag_pivot_thresh=0.0,
                options={'SymmetricMode': True},
            )
        except RuntimeError:  # singular
            return np.full(self.size, np.nan)
        return factors.solve(right)


def fit_paths(
    tracks: Sequence[Track],
    floor: Floor,
    upright: Upright,
    beliefs: Beliefs,
) -> Floor:
    """Fit shifts of tracks, contact points and the floor.

    Args:
        tracks: With contacts; shifts, targets and sizes are set in place.
        floor: Initial estimate.
        upright: Vertical estimated from bodies.
        beliefs: Standard deviations of the terms.

    Returns:
        The floor.
    """
    places: list[np.ndarray] = []  # position and slip of contacts, per track
    for track in tracks:
        soles = track.soles
        found = np.zeros((len(track.stands()), 2, 3))
        for contact, (point, a, b) in zip(found, track.stands(), strict=True):
            contact[0] = soles[a:b, point].mean(0)
        places.append(found)
    for _ in range(_STEPS):
        system = _System()
        tilt = system.unknowns(3)  # two slopes and a height
        basis = _across(floor.up)
        parts = [
            _add_track(system, track, where, beliefs)
            for track, where in zip(tracks, places, strict=True)
        ]
        sizes = _add_sizes(system, tracks, beliefs.size)
        for track, (_, stands), where in zip(
            tracks, parts, places, strict=True
        ):
            plane = np.append(tilt, sizes[track.person])
            _add_floor(
                *(system, plane, basis, stands[:, 0], where[:, 0]),
                *(track, floor, beliefs),
            )
        # The floor is perpendicular to the vertical of bodies.
        system.add(
            tilt[:2, None],
            1 / upright.sigma,
            basis @ (upright.up - floor.up) / upright.sigma,
        )
        # Without contacts the height would be undetermined.
        system.add(tilt[2:, None], 0.01, 0.0)
        solution = system.solve()
        up = floor.up + solution[tilt[:2]] @ basis
        length = np.linalg.norm(up)
        floor = Floor(
            up / length, float((floor.offset + solution[tilt[2]]) / length)
        )
        for track, (shift, _) in zip(tracks, parts, strict=True):
            track.shift = solution[shift]
            track.size *= np.exp(solution[sizes[track.person]])
        places = [solution[stands] for _, stands in parts]
    for track, where in zip(tracks, places, strict=True):
        track.targets = np.full((*track.seen.shape, 3), np.nan)
        points = track.below(floor).project(where[:, 0])
        for (point, a, b), place in zip(track.stands(), points, strict=True):
            track.targets[a:b, point] = place
    return floor


def _add_sizes(
    system: _System, tracks: Sequence[Track], sigma: float
) -> dict[int, int]:
    """Add the prior of sizes.

    Returns:
        Unknown changes of the logarithms of sizes, by person.
    """
    persons = {track.person: track for track in tracks}
    unknowns = system.unknowns(len(persons))
    for track, unknown in zip(persons.values(), unknowns, strict=True):
        weight = 1 / (_SURE if track.sized else max(sigma, _SURE))
        right = weight * np.log(track.believed / track.size)
        system.add(unknown[None, None], weight, right)
    return dict(zip(persons, unknowns.tolist(), strict=True))


def _add_track(
    system: _System, track: Track, places: np.ndarray, beliefs: Beliefs
) -> tuple[np.ndarray, np.ndarray]:
    """Add the terms of one track.

    Returns:
        Unknowns: shifts ``(T, 3)``, positions and slips of contacts
        ``(S, 2, 3)``.
    """
    shift = system.unknowns(len(track.rows), 3)
    stands = system.unknowns(len(places), 2, 3)
    _add_rays(system, track, shift, beliefs)
    _add_motion(system, track, shift, beliefs)
    _add_contacts(system, track, shift, stands, places, beliefs)
    return shift, stands


def _add_rays(
    system: _System, track: Track, shift: np.ndarray, beliefs: Beliefs
) -> None:
    """The pelvis is at the predicted position; its depth may drift."""
    drift = system.unknowns(len(shift))
    ray, depth = track.rays()
    here = track.legs.pelvis + track.shift
    for axis in _across(ray).swapaxes(0, 1):
        # Angles, because residuals in meters would shrink with the depth.
        aside = (axis * here).sum(-1, keepdims=True) / depth
        slope = (axis - aside * ray) / depth
        right = (slope * track.shift).sum(-1) - aside[:, 0]
        system.add(shift, slope / beliefs.across, right / beliefs.across)
    slope = ray / depth
    right = (slope * track.shift).sum(-1)
    found = np.linalg.norm(track.legs.pelvis, axis=-1)
    right -= np.log(depth[:, 0] / found)
    system.add(
        np.concatenate([shift, drift[:, None]], axis=1),
        np.concatenate([slope, -np.ones_like(depth)], 1) / beliefs.depth,
        right / beliefs.depth,
    )
    # The drift is an Ornstein-Uhlenbeck process.
    memory = np.exp(-track.step / beliefs.drift_seconds)
    size = beliefs.drift
    system.add(drift[:1, None], 1 / size, 0.0)
    system.add(
        np.stack([drift[1:], drift[:-1]], axis=1),
        np.array([1, -memory]) / (size * np.sqrt(1 - memory**2)),
        0.0,
    )


def _add_motion(
    system: _System, track: Track, shift: np.ndarray, beliefs: Beliefs
) -> None:
    """Accelerations of the pelvis are small, relative to its depth.

    In meters, noise across the ray would shrink with the depth, which would
    pull all persons towards the camera.
    """
    ray, depth = (values[1:-1] for values in track.rays())
    second = np.diff(track.legs.pelvis + track.shift, 2, axis=0) / depth
    weight = 1 / (beliefs.acceleration * track.step**2)
    old = track.shift.ravel()
    for axis in range(3):
        column = shift[:, axis]
        columns = np.stack([column[:-2], column[1:-1], column[2:]], axis=1)
        columns = np.concatenate([columns, shift[1:-1]], axis=1)
        values = np.concatenate(
            [np.array([1, -2, 1]) / depth, -second[:, [axis]] * ray / depth],
            axis=1,
        )
        right = (values * old[columns - shift[0, 0]]).sum(1) - second[:, axis]
        system.add(columns, weight * values, weight * right)


def _add_contacts(
    system: _System,
    track: Track,
    shift: np.ndarray,
    stands: np.ndarray,
    places: np.ndarray,
    beliefs: Beliefs,
) -> None:
    """Points in contact are fixed, except for a constant slip."""
    if not len(places):
        return
    system.add(stands[:, 1].reshape(-1, 1), 1 / beliefs.slip, 0.0)
    points, firsts, ends = np.array(track.stands()).T
    which = np.repeat(np.arange(len(places)), ends - firsts)
    frames = np.concatenate([*map(np.arange, firsts, ends)])
    middles = (track.times[firsts] + track.times[ends - 1]) / 2
    time = (track.times[frames] - middles[which])[:, None]
    soles = track.legs.soles.reshape(*track.seen.shape, 3)
    found = soles[frames, points[which]]
    place, slip = places[which].swapaxes(0, 1)
    off = found + track.shift[frames] - place - slip * time
    trust = _robust(np.linalg.norm(off, axis=-1), beliefs.foot)
    ones = np.ones_like(time)
    values = np.concatenate([ones, -ones, -time], 1) * trust[:, None]
    for axis in range(3):
        columns = np.stack(
            [shift[frames, axis], *stands[which, :, axis].T], axis=1
        )
        system.add(columns, values, -trust * found[:, axis])


def _add_floor(
    system: _System,
    plane: np.ndarray,
    basis: np.ndarray,
    stands: np.ndarray,
    places: np.ndarray,
    track: Track,
    floor: Floor,
    beliefs: Beliefs,
) -> None:
    """Contact points ``(S, 3)`` are on the floor.

    ``plane`` holds unknowns: two slopes, a height, and the person's size.
    """
    if not len(places):
        return
    below = track.below(floor)
    weight = _robust(below.heights(places), beliefs.floor)
    columns = np.concatenate(
        [stands, np.broadcast_to(plane, (len(places), 4))], axis=1
    )
    values = np.concatenate(
        [
            np.broadcast_to(floor.up, places.shape),
            places @ basis.T,
            np.broadcast_to([1 / track.size, -below.offset], (len(places), 2)),
        ],
        axis=1,
    )
    system.add(columns, weight[:, None] * values, -weight * below.offset)


def _robust(residuals: np.ndarray, sigma: float) -> np.ndarray:
    """Inverse standard deviations, smaller for outliers (Geman-McClure)."""
    return 1 / (sigma * (1 + (residuals / (4 * sigma)) ** 2))


def _across(up: np.ndarray) -> np.ndarray:
    """``(..., 2, 3)`` unit vectors perpendicular to ``(..., 3)``."""
    axis = np.eye(3)[np.abs(up).argmin(-1)]
    first = np.cross(up, axis)
    first /= np.linalg.norm(first, axis=-1, keepdims=True)
    return np.stack([first, np.cross(up, first)], axis=-2)
