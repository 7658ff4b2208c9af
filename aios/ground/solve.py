# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Paths of persons and the floor that fit each other best.

One sparse least-squares problem says what is believed of results:

* the pelvis is where the network says, to a few millimetres across the
  viewing ray and some percent along it; the error along it is partly a slow
  drift;
* persons do not accelerate much;
* a foot that stands does not move, and stands on the floor;
* the floor is level where persons stand upright.

It is solved by Gauss-Newton steps, with weights that make outliers harmless.

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
_SURE = 1e-4  # standard deviation of a size that is known


@dataclass(frozen=True)
class Beliefs:
    """Standard deviations.

    Args:
        across: Of the pelvis across the ray, as a share of its depth.
        depth: Of its depth from frame to frame, as a share of it.
        drift: Of the slow error of its depth, as a share of it.
        drift_seconds: Time after which that error is another.
        acceleration: Of the pelvis, as a share of its depth, per square
            second.
        foot: Of a standing point of a foot relative to the pelvis, metres.
        slip: Of the slow change of that error, metres per second.
        floor: Of the height at which a foot stands, metres.
        size: Of the size of a person, as a share of it; 0 if sizes are right.
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

    Whoever is larger than the results say is farther away by the same factor.
    Everything here is as if the results were right; then the floor is nearer.

    Attributes:
        person: Id.
        rows: ``(T,)`` rows of the results.
        times: ``(T,)`` seconds.
        legs: As the network says.
        seen: ``(T, P)`` whether points are inside the image.
        contacts: ``(T, P)`` whether they stand.
        shift: ``(T, 3)`` metres by which the person is moved.
        targets: ``(T, P, 3)`` where points stand; NaN if they do not.
        sized: Whether the person is known to be as large as they are here.
        believed: How many times larger the person is believed to be.
        size: How many times larger the person is.
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
        """``(T, P, 3)``, moved by :attr:`shift`."""
        points = self.legs.soles.reshape(len(self.rows), -1, 3)
        return points + self.shift[:, None]

    def rays(self) -> tuple[np.ndarray, np.ndarray]:
        """``(T, 3)`` to where the pelvis was found, ``(T, 1)`` how far."""
        pelvis = self.legs.pelvis
        ray = pelvis / np.linalg.norm(pelvis, axis=-1, keepdims=True)
        return ray, (ray * (pelvis + self.shift)).sum(-1, keepdims=True)

    def below(self, floor: Floor) -> Floor:
        """The floor as seen by a person of this size."""
        return replace(floor, offset=floor.offset / self.size)

    def stands(self) -> list[tuple[int, int, int]]:
        """Point, first and last frame (excluded) of each contact."""
        return [
            (point, first, end)
            for point in range(self.contacts.shape[1])
            for first, end in intervals(self.contacts[:, point])
        ]


class _System:
    """Linear equations, collected and solved by least squares."""

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
        """Equations ``(m,)`` with ``k`` unknowns each.

        Args:
            columns: ``(m, k)`` unknowns.
            values: ``(m, k)`` coefficients, or what can be made that.
            right: ``(m,)`` what they should be, or a number.
        """
        columns = np.asarray(columns)
        count, width = columns.shape
        rows = np.repeat(np.arange(self.count, self.count + count), width)
        values = np.broadcast_to(values, columns.shape)
        self._parts.append((rows, columns.ravel(), values.ravel()))
        self._right.append(np.broadcast_to(right, count))
        self.count += count

    def solve(self) -> np.ndarray:
        """``(size,)``; NaN if there is no single solution."""
        rows, columns, values = map(
            np.concatenate, zip(*self._parts, strict=True)
        )
        matrix = sparse.csr_matrix(
            (values, (rows, columns)), (self.count, self.size)
        )
        normal = (matrix.T @ matrix).tocsc()
        right = matrix.T @ np.concatenate(self._right)
        try:
            # Positive definite: no pivots, which would undo the ordering.
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
    """Move tracks, and find where their feet stand.

    Args:
        tracks: With contacts; their shifts and targets become others.
        floor: A first guess.
        upright: Up, as bodies say.
        beliefs: How much to trust what.

    Returns:
        The floor.
    """
    places: list[np.ndarray] = []  # place and slip of contacts, per track
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
        # Two equations: up is where bodies say that it is.
        system.add(
            tilt[:2, None],
            1 / upright.sigma,
            basis @ (upright.up - floor.up) / upright.sigma,
        )
        # Without contacts nothing else tells the height.
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
    """What is believed of sizes.

    Returns:
        Unknown changes of their logarithms, by person.
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
    """What is believed of one person.

    Returns:
        Unknowns: shifts ``(T, 3)``, places and slips of contacts
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
    """A pelvis is where the network says; its depth may drift."""
    drift = system.unknowns(len(shift))
    ray, depth = track.rays()
    here = track.legs.pelvis + track.shift
    for axis in _across(ray).swapaxes(0, 1):
        # Angles, not metres: those would become smaller with the depth.
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
    # A drift that forgets itself (Ornstein-Uhlenbeck).
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
    """A pelvis does not accelerate much, as a share of its depth.

    In metres noise across the ray would be a smaller acceleration the nearer
    a person is, and all would come nearer.
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
    """Standing points stay, but for a steady slip."""
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
    """Places ``(S, 3)`` are on the floor.

    ``plane`` are unknowns: two slopes, a height, and the size of the person.
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
    """``(..., 2, 3)`` unit vectors at right angles to ``(..., 3)``."""
    axis = np.eye(3)[np.abs(up).argmin(-1)]
    first = np.cross(up, axis)
    first /= np.linalg.norm(first, axis=-1, keepdims=True)
    return np.stack([first, np.cross(up, first)], axis=-2)
