# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Scenes framed like photographs.

Cameras have varied heights, pitches and focal lengths; persons vary from far
away to larger than the image and may be truncated, turned away, lying, or
absent.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from aios.structures import Camera
from aios.synthetic.appearance import Outfit, sample_outfit
from aios.synthetic.backgrounds import sample_surroundings
from aios.synthetic.bodies import BodyBank
from aios.synthetic.environments import sample_environment
from aios.synthetic.lighting import sample_lighting
from aios.synthetic.obstacles import sample_obstacles
from aios.synthetic.persons import (
    LocalBody,
    Person,
    collides,
    make_person,
    sample_bodies,
)
from aios.synthetic.scene import Scene, SceneOptions, fits
from aios.synthetic.views import View

_STATURE = 1.7  # meters; sizes are those of a standing person
_FILM = 36.0  # millimeters of the longer side
_LENSES = (24.0, 120.0)  # millimeters
_SMALLEST = 48.0  # pixels
_LARGEST = 2.0  # times the longer side
_LEVELS = (0.4, 3.0)  # meters
_PITCHES = np.radians([-15.0, 30.0])  # up, down
_NEAREST = 0.7  # meters
_LYING = 0.06
_TRIES = 40
_PLACE_TRIES = 10
_MIN_INSIDE = 0.06  # share of the vertices that must be inside the image


def _log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def sample_photographic_view(
    rng: np.random.Generator, width: int, height: int, stature: float
) -> View:
    """Draws a camera that looks at a person.

    Args:
        rng: Random generator.
        width: Image width, pixels.
        height: Image height, pixels.
        stature: Height of the person's highest point, meters.

    Returns:
        The view; ``subject_distance`` is that of the person.
    """
    side = max(width, height)
    for _ in range(_TRIES):
        size = _log_uniform(rng, _SMALLEST, _LARGEST * side)
        focal = side * _log_uniform(rng, *_LENSES) / _FILM
        distance = focal * _STATURE / size
        level = rng.normal(1.5, 0.25)
        if rng.random() < 0.4:
            level = rng.uniform(*_LEVELS)
        level = float(np.clip(level, *_LEVELS))
        # Close-ups show the upper body more often than the knees.
        close = np.clip(size / height - 0.8, 0, 0.7)
        aim = stature * (rng.uniform(0.35, 0.75) + 0.35 * close)
        row = rng.normal(0.48, 0.14) * height
        sight = np.arctan2(level - aim, distance)
        pitch = float(sight - np.arctan((row - height / 2) / focal))
        if distance > _NEAREST and _PITCHES[0] < pitch < _PITCHES[1]:
            break
    center = (
        width / 2 + rng.normal(0, 0.01) * width,
        height / 2 + rng.normal(0, 0.01) * height,
    )
    camera = Camera.from_focal(focal, (width, height), center)
    return View.looking(
        camera,
        level,
        float(np.clip(pitch, *_PITCHES)),
        float(rng.normal(0, 0.03)),
        max(distance, _NEAREST),
    )


def _count(rng: np.random.Generator, options: SceneOptions) -> int:
    """Number of persons; small numbers are most frequent."""
    if rng.random() < options.empty:
        return 0
    low, high = options.persons
    weights = (np.arange(low, high + 1) + 0.5) ** -1.3
    return low + int(rng.choice(len(weights), p=weights / weights.sum()))


def _setting(
    rng: np.random.Generator, view: View, options: SceneOptions
) -> Scene:
    """Draws background and light, mostly panoramas if there are any."""
    photo, place, environment = None, None, None
    if options.panoramas:
        environment = sample_environment(rng, options.panoramas)
    kinds = ['place', *['photo'] * 2 * bool(options.backgrounds)]
    kinds += ['panorama'] * 4 * bool(options.panoramas)
    kind = str(rng.choice(kinds))
    if kind == 'photo':
        photo = options.backgrounds[rng.integers(len(options.backgrounds))]
    elif kind == 'place':
        place = sample_surroundings(rng, view)
    lighting = sample_lighting(rng, outdoor=place is None or place.outdoor)
    if environment is not None:
        lighting = environment.lighting()
    return Scene(view, place, photo, lighting, (), (), environment=environment)


def _position(
    rng: np.random.Generator, view: View, persons: list[Person]
) -> np.ndarray:
    """``(2,)`` x and z: the first in the view, others often close to it."""
    camera = view.camera
    if persons and rng.random() < 0.5:
        spread = 0.35 + 0.25 * len(persons) * rng.random()
        return persons[0].position + rng.normal(0, spread, 2) * [1.4, 1.0]
    depth, reach = view.subject_distance, 0.1
    if persons:
        largest = _LARGEST * max(camera.width, camera.height)
        size = _log_uniform(rng, _SMALLEST, largest)
        depth, reach = float(camera.focal[1]) * _STATURE / size, -0.05
    column = rng.uniform(reach, 1 - reach) * camera.width
    across = (column - camera.principal_point[0]) / camera.focal[0]
    return np.array([across * depth, -depth])


def _heading(
    rng: np.random.Generator, position: np.ndarray, persons: list[Person]
) -> float:
    """A third of headings are random; most others face the camera."""
    choice = rng.random()
    if choice < 0.35:
        return float(rng.uniform(-np.pi, np.pi))
    towards = np.arctan2(-position[0], -position[1])
    if persons and choice < 0.5:
        x, z = persons[0].position - position
        towards = np.arctan2(x, z)
    return float(towards + rng.normal(0, 0.6))


def _in_image(person: Person, view: View) -> bool:
    """Whether enough of a person is inside the image."""
    points = view.to_camera(person.vertices[::16])
    if points[:, 2].min() < 0.1:
        return False
    pixels = view.camera.project(points)
    size = [view.camera.width, view.camera.height]
    inside = ((pixels > 0) & (pixels < size)).all(1)
    return float(inside.mean()) > _MIN_INSIDE


def _add_person(
    rng: np.random.Generator,
    scene: Scene,
    body: LocalBody,
    segment: np.ndarray,
    persons: list[Person],
) -> bool:
    for _ in range(_PLACE_TRIES):
        position = _position(rng, scene.view, persons)
        heading = _heading(rng, position, persons)
        person = make_person(body, segment, heading, position)
        if (
            _in_image(person, scene.view)
            and fits(person, scene.view, scene.surroundings)
            and not collides(person, persons)
        ):
            persons.append(person)
            return True
    return False


def sample_photographic_scene(
    rng: np.random.Generator, bank: BodyBank, options: SceneOptions
) -> Scene:
    """Draws a scene framed like a photograph.

    Args:
        rng: Random generator, which determines the scene.
        bank: Body models.
        options: Content of the scene.

    Returns:
        The scene, with the counts of :func:`~aios.synthetic.sample_scene`.
    """
    count = _count(rng, options)
    bodies, rejected = sample_bodies(
        rng, bank, count, options.genders, lying=_LYING
    )
    stature = float(bodies[0].vertices[:, 1].max()) if bodies else _STATURE
    view = sample_photographic_view(
        rng, options.width, options.height, stature
    )
    scene = _setting(rng, view, options)
    persons: list[Person] = []
    outfits: list[Outfit] = []
    for body in bodies:
        gender = body.figure.gender
        outfit = sample_outfit(rng, gender)
        segment = bank.template(gender).segment
        if _add_person(rng, scene, body, segment, persons):
            outfits.append(outfit)
    return replace(
        scene,
        persons=tuple(persons),
        outfits=tuple(outfits),
        obstacles=sample_obstacles(rng, view, persons),
        dressed=True,
        counts=Counter(
            pose_self_penetration=rejected,
            no_free_place=len(bodies) - len(persons),
        ),
    )
