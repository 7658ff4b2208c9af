# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Sequences of scenes with the same persons and a static camera."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from aios.synthetic.appearance import sample_outfit
from aios.synthetic.bodies import BodyBank, Figure, sample_shape
from aios.synthetic.collisions import has_self_penetration
from aios.synthetic.motion import foot_locked_path, sample_motion
from aios.synthetic.persons import (
    LocalBody,
    Person,
    collides,
    make_person,
    to_local,
)
from aios.synthetic.scene import (
    Layout,
    Scene,
    SceneOptions,
    fits,
    sample_count,
    sample_layout,
    sample_setting,
)

_MOTION_TRIES, _PLACE_TRIES = 4, 10
_CHECK_EVERY = 5  # frames between tests for self-penetration
_BATCH = 16  # frames posed in one batch


@dataclass(frozen=True)
class _Track:
    """One person over all frames, before it is placed.

    Attributes:
        bodies: One per frame.
        headings: ``(T,)`` relative to the first frame, radians.
        path: ``(T, 2)`` of the pelvis relative to the first frame, for
            heading zero, meters.
    """

    bodies: list[LocalBody]
    headings: np.ndarray
    path: np.ndarray

    def place(
        self, segment: np.ndarray, heading: float, position: np.ndarray
    ) -> Iterator[Person]:
        """The person in each frame."""
        cos, sin = np.cos(heading), np.sin(heading)
        for body, turn, (x, z) in zip(
            self.bodies, self.headings, self.path, strict=True
        ):
            offset = np.array([cos * x + sin * z, cos * z - sin * x])
            yield make_person(body, segment, heading + turn, position + offset)


def _sample_track(
    rng: np.random.Generator,
    bank: BodyBank,
    gender: str,
    frames: int,
    fps: float,
) -> tuple[_Track, int]:
    """A person in motion, and the number of rejected motions."""
    betas, expression = sample_shape(rng)
    template = bank.template(gender)
    for attempt in range(_MOTION_TRIES):
        motion = sample_motion(
            rng, None if attempt < _MOTION_TRIES - 1 else 'walk'
        )
        figures = [
            Figure(gender, betas, expression, motion.pose(t / fps))
            for t in range(frames)
        ]
        bodies, joints = [], []
        for start in range(0, frames, _BATCH):
            batch = figures[start : start + _BATCH]
            vertices, points = bank.pose(batch)
            bodies += [
                to_local(f, v, j, template.faces)
                for f, v, j in zip(batch, vertices, points, strict=True)
            ]
            joints.append(points)
        if not any(
            has_self_penetration(b.vertices, b.normals, template.segment)
            for b in bodies[::_CHECK_EVERY]
        ):
            break
    headings = motion.turn_rate * np.arange(frames) / fps
    turns = Rotation.from_euler('y', headings[:, None]).as_matrix()
    turned = np.einsum('tij,tnj->tni', turns, np.concatenate(joints))
    stance = None
    if motion.stance is not None:
        stance = np.array([motion.stance(t / fps) for t in range(frames)])
    path = foot_locked_path(turned, stance)
    return _Track(bodies, headings, path), attempt


def _place_track(
    rng: np.random.Generator,
    track: _Track,
    layout: Layout,
    segment: np.ndarray,
    scene: Scene,
    others: list[list[Person]],
) -> list[Person] | None:
    """Finds a start position without collisions in any frame."""
    for _ in range(_PLACE_TRIES):
        position = layout.draw(rng, scene.view, not others)
        heading = layout.heading(rng, position)
        persons = []
        for t, person in enumerate(track.place(segment, heading, position)):
            if not fits(person, scene.view, scene.surroundings) or collides(
                person, [other[t] for other in others]
            ):
                break
            persons.append(person)
        if len(persons) == len(track.bodies):
            return persons
    return None


def sample_sequence(
    rng: np.random.Generator,
    bank: BodyBank,
    options: SceneOptions,
    frames: int,
    fps: float,
) -> list[Scene]:
    """Draws a sequence with constant identities, outfits, light and camera.

    It takes about 0.25 MB of memory per person and frame.

    Args:
        rng: Random generator, which determines the sequence.
        bank: Body models.
        options: Content of the scene.
        frames: Number of frames.
        fps: Frames per second.

    Returns:
        One scene per frame; ``persons`` have the same order in all of them.
    """
    setting = sample_setting(rng, options)
    count = sample_count(rng, options.persons)
    layout = sample_layout(rng, setting.view, count, options.any_heading)
    placed: list[list[Person]] = []
    outfits, rejected = [], 0
    for _ in range(count):
        gender = str(rng.choice(list(options.genders)))
        track, tries = _sample_track(rng, bank, gender, frames, fps)
        outfit = sample_outfit(rng, gender)
        rejected += tries
        persons = _place_track(
            rng, track, layout, bank.template(gender).segment, setting, placed
        )
        if persons is not None:
            placed.append(persons)
            outfits.append(outfit)
    counts = Counter(
        pose_self_penetration=rejected, no_free_place=count - len(placed)
    )
    return [
        Scene(
            setting.view,
            setting.surroundings,
            setting.photo,
            setting.lighting,
            tuple(persons[t] for persons in placed),
            tuple(outfits),
            counts if t == 0 else Counter(),
        )
        for t in range(frames)
    ]
