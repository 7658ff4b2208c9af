# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Obstacles around and in front of persons: boxes, tables, plants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.spatial.transform import Rotation

from aios.structures import vertex_normals
from aios.synthetic.persons import Person, unit_box
from aios.synthetic.textures import random_hue
from aios.synthetic.views import View

_CELLS = 8  # grid cells per side of a box, for patterns
_TRIES = 6


@dataclass(frozen=True)
class Obstacle:
    """An object in the world.

    Attributes:
        vertices, normals: ``(N, 3)``.
        faces: ``(M, 3)`` int32.
        colors: ``(N, 3)`` RGB in 0..1.
    """

    vertices: np.ndarray
    normals: np.ndarray
    faces: np.ndarray
    colors: np.ndarray


@dataclass(frozen=True)
class _Shape:
    """Surface of an object that stands at the origin."""

    vertices: np.ndarray
    normals: np.ndarray
    faces: np.ndarray


@lru_cache(maxsize=1)
def _unit_box() -> _Shape:
    """The cube from (-1, 0, -1) to (1, 2, 1), each side a grid."""
    vertices, faces, normals = unit_box(_CELLS)
    return _Shape(vertices + [0, 1, 0], normals, faces)


@lru_cache(maxsize=1)
def _unit_tube() -> _Shape:
    """The unit sphere around (0, 1, 0), with rings of 16 vertices."""
    rings, around = 11, 16
    up = np.linspace(-np.pi / 2, np.pi / 2, rings)[:, None]
    turn = np.linspace(0, 2 * np.pi, around, endpoint=False)[None]
    ball = np.stack(
        [
            np.cos(up) * np.cos(turn),
            np.sin(up) + 0 * turn,
            np.cos(up) * np.sin(turn),
        ],
        -1,
    ).reshape(-1, 3)
    i = np.arange((rings - 1) * around)
    beside = i - i % around + (i + 1) % around
    faces = np.concatenate(
        [
            np.stack([i, i + around, beside], 1),
            np.stack([beside, i + around, beside + around], 1),
        ]
    ).astype(np.int32)
    return _Shape(ball + [0, 1, 0], ball.copy(), faces)


def _join(parts: Sequence[_Shape]) -> _Shape:
    starts = np.cumsum([0, *(len(p.vertices) for p in parts)])
    return _Shape(
        np.concatenate([p.vertices for p in parts]),
        np.concatenate([p.normals for p in parts]),
        np.concatenate(
            [p.faces + s for p, s in zip(parts, starts, strict=False)]
        ).astype(np.int32),
    )


def _scaled(
    shape: _Shape, half: Sequence[float] | np.ndarray, lift: float = 0.0
) -> _Shape:
    """A shape with half extents, ``lift`` above the floor."""
    size = np.asarray(half, float)
    normals = shape.normals / size
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return _Shape(shape.vertices * size + [0, lift, 0], normals, shape.faces)


def _moved(shape: _Shape, x: float, z: float) -> _Shape:
    return _Shape(shape.vertices + [x, 0, z], shape.normals, shape.faces)


def _box(rng: np.random.Generator) -> _Shape:
    half = rng.uniform([0.12, 0.12, 0.1], [0.7, 0.6, 0.4])
    return _scaled(_unit_box(), half)


def _board(rng: np.random.Generator) -> _Shape:
    """A sign, a screen, the end of a wall."""
    half = rng.uniform([0.2, 0.4, 0.01], [0.8, 1.2, 0.06])
    return _scaled(_unit_box(), half)


def _table(rng: np.random.Generator) -> _Shape:
    x, z = rng.uniform(0.4, 1.0), rng.uniform(0.3, 0.6)
    height = rng.uniform(0.45, 1.0)
    leg = _scaled(_unit_box(), (0.03, height / 2, 0.03))
    legs = [
        _moved(leg, sx * (x - 0.06), sz * (z - 0.06))
        for sx in (-1, 1)
        for sz in (-1, 1)
    ]
    return _join([_scaled(_unit_box(), (x, 0.02, z), height), *legs])


def _pole(rng: np.random.Generator) -> _Shape:
    radius = rng.uniform(0.02, 0.14)
    # The ends of the ellipsoid are above the image and below the floor.
    return _scaled(_unit_tube(), (radius, 3.0, radius), -2.2)


def _plant(rng: np.random.Generator) -> _Shape:
    """A pot with a ball of triangular leaves."""
    radius, height = rng.uniform(0.15, 0.45), rng.uniform(0.4, 1.7)
    count = 400
    center = rng.normal(size=(count, 3))
    center /= np.linalg.norm(center, axis=1, keepdims=True)
    center *= radius * rng.uniform(0.3, 1.0, (count, 1)) ** 0.5
    center[:, 1] = center[:, 1] * rng.uniform(0.8, 1.6) + height
    leaf = rng.normal(size=(count, 3, 3)) * rng.uniform(0.03, 0.1)
    corners = (center[:, None] + leaf).reshape(-1, 3)
    faces = np.arange(3 * count, dtype=np.int32).reshape(-1, 3)
    both = np.concatenate([faces, faces[:, ::-1] + 3 * count])
    corners = np.concatenate([corners, corners])
    normals = vertex_normals(corners, both).astype(float)
    stem = _scaled(_unit_tube(), (0.02, height / 2, 0.02))
    pot = _scaled(_unit_box(), (0.13, 0.13, 0.13))
    return _join([_Shape(corners, normals, both), stem, pot])


def _bags(rng: np.random.Generator) -> _Shape:
    """A heap of soft objects: bags, balls, cushions."""
    balls = []
    for _ in range(int(rng.integers(1, 4))):
        half = rng.uniform(0.1, 0.32, 3)
        x, z = rng.normal(0, 0.25, 2)
        balls.append(_moved(_scaled(_unit_tube(), half), x, z))
    return _join(balls)


_KINDS = (_box, _box, _board, _table, _table, _pole, _plant, _bags)


def _paint(rng: np.random.Generator, shape: _Shape, green: bool) -> np.ndarray:
    """``(N, 3)`` colors: plain, grained, striped or blotched."""
    wood = np.array([0.5, 0.36, 0.24]) * rng.uniform(0.4, 1.7)
    hue = random_hue(rng, (10, 200), (50, 240))
    color = wood if rng.random() < 0.35 else hue
    if green:
        color = np.array([0.2, 0.36, 0.13]) * rng.uniform(0.5, 1.6, 3)
    wave = rng.normal(size=(6, 3)) * rng.uniform(3, 40)
    noise = np.cos(shape.vertices @ wave.T + rng.uniform(0, 6, 6)).sum(1) / 3
    colors = color * (1 + rng.uniform(0.03, 0.25) * noise[:, None])
    if rng.random() < 0.3:
        second = random_hue(rng, (10, 200), (50, 240))
        blend = np.clip(0.5 + 3 * noise, 0, 1)[:, None]
        colors = colors + blend * (second - colors)
    jitter = rng.normal(0, 0.06 if green else 0.02, (len(colors), 1))
    return np.clip(colors * (1 + jitter), 0.01, 0.99)


def _put(
    rng: np.random.Generator, place: np.ndarray, heading: float
) -> Obstacle:
    draw = _KINDS[rng.integers(len(_KINDS))]
    shape = draw(rng)
    colors = _paint(rng, shape, draw is _plant)
    turn = Rotation.from_euler('y', heading).as_matrix().T
    vertices = shape.vertices @ turn
    vertices[:, [0, 2]] += place
    return Obstacle(vertices, shape.normals @ turn, shape.faces, colors)


def sample_obstacles(
    rng: np.random.Generator, view: View, persons: Sequence[Person]
) -> tuple[Obstacle, ...]:
    """Draws obstacles around persons, some of which occlude them.

    Args:
        rng: Random generator.
        view: The camera.
        persons: Persons, which obstacles do not intersect.

    Returns:
        Up to five obstacles.
    """
    found: list[Obstacle] = []
    for _ in range(int(rng.choice(6, p=[0.3, 0.28, 0.2, 0.12, 0.06, 0.04]))):
        for _ in range(_TRIES):
            place = _place(rng, view, persons)
            obstacle = _put(rng, place, rng.uniform(-np.pi, np.pi))
            if _is_free(obstacle, place, view, persons):
                found.append(obstacle)
                break
    return tuple(found)


def _place(
    rng: np.random.Generator, view: View, persons: Sequence[Person]
) -> np.ndarray:
    """``(2,)`` x and z, between the camera and a person, or anywhere."""
    camera = view.camera
    if persons and rng.random() < 0.55:
        target = persons[int(rng.integers(len(persons)))]
        share = rng.uniform(0.4, 0.95)
        aside = rng.normal(0, 0.35)
        return target.position * share + np.array([aside, 0])
    depth = view.subject_distance * np.exp(rng.normal(0.2, 0.5))
    column = rng.uniform(-0.1, 1.1) * camera.width
    across = (column - camera.principal_point[0]) / camera.focal[0]
    return np.array([across * depth, -depth])


def _is_free(
    obstacle: Obstacle,
    place: np.ndarray,
    view: View,
    persons: Sequence[Person],
) -> bool:
    """Whether an obstacle keeps clear of persons, camera and most pixels."""
    reach = np.linalg.norm(obstacle.vertices[:, [0, 2]] - place, axis=1).max()
    if any(
        np.linalg.norm(p.position - place) < 0.75 * (reach + p.radius)
        for p in persons
    ):
        return False
    points = view.to_camera(obstacle.vertices)
    if points[:, 2].min() < 0.35:
        return False
    pixels = view.camera.project(points)
    size = np.array([view.camera.width, view.camera.height])
    low, high = pixels.min(0).clip(0, size), pixels.max(0).clip(0, size)
    return float(np.prod((high - low) / size)) < 0.45
