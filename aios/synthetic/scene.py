# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Random scenes: camera, surroundings, light, persons and positions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from aios.synthetic.appearance import Outfit, sample_outfit
from aios.synthetic.backgrounds import Surroundings, sample_surroundings
from aios.synthetic.bodies import BodyBank
from aios.synthetic.environments import Environment
from aios.synthetic.lighting import Lighting, sample_lighting
from aios.synthetic.obstacles import Obstacle
from aios.synthetic.persons import (
    LocalBody,
    Person,
    collides,
    make_person,
    sample_bodies,
)
from aios.synthetic.views import View, sample_view

_PLACE_TRIES = 14
_NEAREST = 0.45  # meters; minimum distance from the camera


@dataclass(frozen=True)
class SceneOptions:
    """Content of scenes.

    Attributes:
        width, height: Image size, pixels.
        persons: Smallest and largest number of persons.
        genders: Genders to draw from.
        backgrounds: Image files to use instead of procedural surroundings.
        any_heading: Draw headings of persons uniformly.  Otherwise most face
            the camera or each other.
        fill: See :func:`~aios.synthetic.views.sample_view`.
        photographic: Frame scenes like photographs, with clothes that have
            volume and obstacles (:mod:`aios.synthetic.photographic`).
            ``any_heading`` and ``fill`` are then ignored.
        panoramas: Equirectangular Radiance files that surround and light
            photographic scenes.
        empty: Share of photographic scenes without persons.

    Raises:
        ValueError: If a value is out of its range.
    """

    width: int = 640
    height: int = 480
    persons: tuple[int, int] = (1, 8)
    genders: tuple[str, ...] = ('neutral', 'male', 'female')
    backgrounds: tuple[Path, ...] = ()
    any_heading: bool = False
    fill: tuple[float, float] | None = None
    photographic: bool = False
    panoramas: tuple[Path, ...] = ()
    empty: float = 0.0

    def __post_init__(self) -> None:
        least, most = self.persons
        small, large = self.fill or (1, 1)
        for name, is_valid, allowed in (
            ('persons', 1 <= least <= most, 'ascending, from 1'),
            ('genders', len(self.genders) > 0, 'not empty'),
            ('fill', 0 < small <= large, 'ascending and positive'),
            ('empty', 0 <= self.empty < 1, 'at least 0, less than 1'),
        ):
            if not is_valid:
                value = getattr(self, name)
                raise ValueError(f'{name} must be {allowed}, got {value!r}')
        if not self.photographic and (self.empty or self.panoramas):
            raise ValueError('empty and panoramas need photographic=True')


@dataclass(frozen=True)
class Scene:
    """A complete scene.

    Attributes:
        view: The camera.
        surroundings: Procedural surroundings, ``None`` with a photograph.
        photo: Image file, ``None`` with procedural surroundings.
        lighting: The light.
        persons: Persons, in the order of their ids.
        outfits: One per person.
        counts: Numbers of rejected samples, by rule.
        environment: The light, instead of ``lighting``; also the background
            if there is neither ``surroundings`` nor ``photo``.
        obstacles: Objects around persons.
        dressed: Whether clothes and hair have volume.
    """

    view: View
    surroundings: Surroundings | None
    photo: Path | None
    lighting: Lighting
    persons: tuple[Person, ...]
    outfits: tuple[Outfit, ...]
    counts: Counter = field(default_factory=Counter)
    environment: Environment | None = None
    obstacles: tuple[Obstacle, ...] = ()
    dressed: bool = False


def sample_count(rng: np.random.Generator, persons: tuple[int, int]) -> int:
    """Number of persons; small groups are slightly more frequent."""
    low, high = persons
    weights = 1.0 / (np.arange(high - low + 1) + 3.0)
    return low + int(rng.choice(len(weights), p=weights / weights.sum()))


@dataclass(frozen=True)
class Layout:
    """Distribution of persons on the floor.

    Attributes:
        kind: ``spread`` over the image, or ``group`` around a point.
        center: ``(2,)`` of the group.
        reach: Standard deviation of the group, meters.
        any_heading: See :class:`SceneOptions`.
    """

    kind: str
    center: np.ndarray
    reach: float
    any_heading: bool = False

    def draw(
        self, rng: np.random.Generator, view: View, first: bool
    ) -> np.ndarray:
        """A position ``(2,)``: x and z in the world."""
        if self.kind == 'group':
            return self.center + rng.normal(0, self.reach, 2) * [1.3, 1.0]
        depth = view.subject_distance * np.exp(rng.normal(0.1, 0.35))
        # The first person is well inside the image.
        return _on_floor(rng, view, max(depth, 1.2), -0.2 if first else 0.06)

    def heading(self, rng: np.random.Generator, position: np.ndarray) -> float:
        """Heading towards the camera, the group, or at random."""
        choice = rng.random()
        if self.any_heading or choice < 0.2:
            return float(rng.uniform(-np.pi, np.pi))
        if self.kind == 'group' and choice < 0.6:
            x, z = self.center - position
            return float(np.arctan2(x, z) + rng.normal(0, 0.4))
        towards = np.arctan2(-position[0], -position[1])
        return float(towards + rng.normal(0, 0.65))


def _on_floor(
    rng: np.random.Generator, view: View, depth: float, margin: float
) -> np.ndarray:
    """Random point at a depth, inside the image columns plus a margin."""
    cam = view.camera
    column = rng.uniform(-margin, 1 + margin) * cam.width
    x = (column - cam.principal_point[0]) / cam.focal[0] * depth
    return np.array([x, -depth])


def sample_layout(
    rng: np.random.Generator,
    view: View,
    count: int,
    any_heading: bool = False,
) -> Layout:
    """Draws a layout: persons spread over the image, or around a point.

    Args:
        rng: Random generator.
        view: The camera.
        count: Number of persons.
        any_heading: See :class:`SceneOptions`.

    Returns:
        The layout.
    """
    kind = 'group' if count > 1 and rng.random() < 0.5 else 'spread'
    depth = max(view.subject_distance, 1.6)
    center = _on_floor(rng, view, depth, -0.25)
    reach = 0.28 + 0.12 * count * rng.random()
    return Layout(kind, center, reach, any_heading)


def fits(person: Person, view: View, place: Surroundings | None) -> bool:
    """Whether a person is in front of the camera and inside the walls."""
    depth = view.to_camera(person.vertices)[:, 2]
    if depth.min() < _NEAREST:
        return False
    if place is None or place.outdoor:
        return True
    back, left, right, _ = place.wall_distances
    x, z = person.vertices[:, 0], person.vertices[:, 2]
    return bool(z.min() > -back and x.min() > -left and x.max() < right)


def _place(
    rng: np.random.Generator,
    body: LocalBody,
    segment: np.ndarray,
    layout: Layout,
    scene: Scene,
    others: list[Person],
) -> Person | None:
    for _ in range(_PLACE_TRIES):
        position = layout.draw(rng, scene.view, not others)
        heading = layout.heading(rng, position)
        person = make_person(body, segment, heading, position)
        if fits(person, scene.view, scene.surroundings) and not collides(
            person, others
        ):
            return person
    return None


def sample_setting(rng: np.random.Generator, options: SceneOptions) -> Scene:
    """Draws camera, surroundings and light, without persons.

    Args:
        rng: Random generator.
        options: Content of the scene.

    Returns:
        An empty scene.
    """
    view = sample_view(rng, options.width, options.height, options.fill)
    photo, place = None, None
    if options.backgrounds:
        photo = options.backgrounds[rng.integers(len(options.backgrounds))]
    else:
        place = sample_surroundings(rng, view)
    lighting = sample_lighting(rng, outdoor=place is None or place.outdoor)
    return Scene(view, place, photo, lighting, (), ())


def sample_scene(
    rng: np.random.Generator, bank: BodyBank, options: SceneOptions
) -> Scene:
    """Draws a scene.

    Args:
        rng: Random generator, which determines the scene.
        bank: Body models.
        options: Content of the scene.

    Returns:
        The scene.  ``counts`` holds ``pose_self_penetration`` (rejected
        poses) and ``no_free_place`` (persons left out).
    """
    setting = sample_setting(rng, options)
    count = sample_count(rng, options.persons)
    bodies, rejected = sample_bodies(rng, bank, count, options.genders)
    outfits = [sample_outfit(rng, body.figure.gender) for body in bodies]
    layout = sample_layout(rng, setting.view, count, options.any_heading)
    persons: list[Person] = []
    placed_outfits: list[Outfit] = []
    for body, outfit in zip(bodies, outfits, strict=True):
        segment = bank.template(body.figure.gender).segment
        person = _place(rng, body, segment, layout, setting, persons)
        if person is not None:
            persons.append(person)
            placed_outfits.append(outfit)
    counts = Counter(
        pose_self_penetration=rejected,
        no_free_place=len(bodies) - len(persons),
    )
    return replace(
        setting,
        persons=tuple(persons),
        outfits=tuple(placed_outfits),
        counts=counts,
    )
