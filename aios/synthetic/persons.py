# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Placement of persons on the floor without collisions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from aios.structures import vertex_normals
from aios.synthetic.bodies import BodyBank, Figure, sample_shape
from aios.synthetic.collisions import bodies_overlap, has_self_penetration
from aios.synthetic.poses import pose_from_names, sample_pose

_MAX_POSE_TRIES = 6
_TORSO_SEGMENTS = (0, 1, 2)


@dataclass(frozen=True)
class LocalBody:
    """A posed body in its own frame.

    Its lowest vertex is at ``y = 0``, its pelvis above the origin, and it
    faces ``+z``.

    Attributes:
        figure: Shape and pose.
        vertices, normals: ``(V, 3)``.
        drop: ``(3,)`` translation from the model's output to this frame.
        pelvis: ``(3,)`` root joint of the model's output, the center of
            root rotations.
        radius: Horizontal radius about the origin, meters.
    """

    figure: Figure
    vertices: np.ndarray
    normals: np.ndarray
    drop: np.ndarray
    pelvis: np.ndarray
    radius: float


def unit_box(cells: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The cube from -1 to 1, each side a grid of ``cells`` by ``cells``.

    Returns:
        Vertices ``(N, 3)``, faces ``(M, 3)`` int32, normals ``(N, 3)``.
    """
    n = cells + 1
    u, v = np.meshgrid(np.linspace(-1, 1, n), np.linspace(-1, 1, n))
    corner = (np.arange(cells)[:, None] * n + np.arange(cells)).ravel()
    square = np.stack([corner, corner + 1, corner + n + 1, corner + n], 1)
    faces = np.concatenate([square[:, [0, 1, 2]], square[:, [0, 2, 3]]])
    vertices, normals = [], []
    for axis in range(3):
        for sign in (-1.0, 1.0):
            side = np.zeros((n * n, 3))
            side[:, axis] = sign
            side[:, (axis + 1) % 3] = u.ravel()
            side[:, (axis + 2) % 3] = sign * v.ravel()
            vertices.append(side)
            normals.append(np.tile(sign * np.eye(3)[axis], (n * n, 1)))
    return (
        np.concatenate(vertices),
        np.concatenate([faces + i * n * n for i in range(6)]).astype(np.int32),
        np.concatenate(normals),
    )


@dataclass(frozen=True)
class Seat:
    """A block to sit on.

    Attributes:
        center: ``(3,)`` center in the world.
        half: ``(3,)`` half extents.
        heading: Rotation about the vertical, radians.
    """

    center: np.ndarray
    half: np.ndarray
    heading: float

    def contains(self, points: np.ndarray) -> bool:
        """Whether any of the world points ``(N, 3)`` is inside."""
        turn = Rotation.from_euler('y', -self.heading).as_matrix()
        local = (points - self.center) @ turn.T
        return bool((np.abs(local) < self.half).all(1).any())

    def mesh(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Vertices ``(24, 3)``, faces ``(12, 3)``, normals ``(24, 3)``."""
        vertices, faces, normals = unit_box(1)
        turn = Rotation.from_euler('y', self.heading).as_matrix().T
        return vertices * self.half @ turn + self.center, faces, normals @ turn


@dataclass(frozen=True)
class Person:
    """A body placed in the world.

    Attributes:
        body: The body.
        heading: Rotation about the vertical, radians; 0 faces the camera.
        position: ``(2,)`` x and z of the pelvis, meters.
        vertices, normals: ``(V, 3)`` in the world.
        seat: The block the person sits on, if any.
    """

    body: LocalBody
    heading: float
    position: np.ndarray
    vertices: np.ndarray
    normals: np.ndarray
    seat: Seat | None = None

    @property
    def radius(self) -> float:
        """Horizontal radius about the position, meters."""
        return self.body.radius


def to_local(
    figure: Figure, vertices: np.ndarray, joints: np.ndarray, faces: np.ndarray
) -> LocalBody:
    """Moves a posed body onto the floor, its pelvis above the origin.

    Args:
        figure: Shape and pose.
        vertices: ``(V, 3)`` of the model, without translation.
        joints: ``(144, 3)``.
        faces: ``(F, 3)``.

    Returns:
        The body in its own frame.
    """
    drop = np.array(
        [-joints[0, 0], -vertices[:, 1].min(), -joints[0, 2]], np.float32
    )
    grounded = vertices + drop
    radius = float(np.linalg.norm(grounded[:, [0, 2]], axis=1).max())
    return LocalBody(
        figure,
        grounded,
        vertex_normals(vertices, faces),
        drop,
        joints[0].astype(np.float64),
        radius,
    )


def sample_bodies(
    rng: np.random.Generator,
    bank: BodyBank,
    count: int,
    genders: Sequence[str],
    *,
    seats: bool = True,
    lying: float = 0.0,
) -> tuple[list[LocalBody], int]:
    """Draws bodies without self-penetration.

    Args:
        rng: Random generator.
        bank: Body models.
        count: Number of bodies.
        genders: Genders to draw from.
        seats: Whether poses on seats are allowed.
        lying: Share of lying persons.

    Returns:
        The bodies and the number of rejected poses.
    """
    shapes = [
        (str(rng.choice(list(genders))), *sample_shape(rng))
        for _ in range(count)
    ]
    bodies: list[LocalBody | None] = [None] * count
    rejected = 0
    for attempt in range(_MAX_POSE_TRIES + 1):
        todo = [i for i, body in enumerate(bodies) if body is None]
        if not todo:
            break
        last = attempt == _MAX_POSE_TRIES
        figures = [
            Figure(
                *shapes[i],
                pose_from_names(rng, 'stand', 'relaxed')
                if last
                else sample_pose(rng, allow_seats=seats, lying=lying),
            )
            for i in todo
        ]
        vertices, joints = bank.pose(figures)
        for row, i in enumerate(todo):
            template = bank.template(figures[row].gender)
            body = to_local(
                figures[row], vertices[row], joints[row], template.faces
            )
            if not last and has_self_penetration(
                body.vertices, body.normals, template.segment
            ):
                rejected += 1
            else:
                bodies[i] = body
    return [body for body in bodies if body is not None], rejected


def _make_seat(
    body: LocalBody, segment: np.ndarray, heading: float, position: np.ndarray
) -> Seat:
    """A block under the lowest point of the buttocks."""
    hips = body.vertices[np.isin(segment, _TORSO_SEGMENTS)]
    behind = hips[hips[:, 2] < 0.1]
    height = max(0.1, float(behind[:, 1].min()) - 0.004)
    half = np.array([0.24, height / 2, 0.19])
    turn = Rotation.from_euler('y', heading).as_matrix()
    center = turn @ np.array([0.0, height / 2, -0.04])
    center[[0, 2]] += position
    return Seat(center, half, heading)


def make_person(
    body: LocalBody, segment: np.ndarray, heading: float, position: np.ndarray
) -> Person:
    """Places a body in the world.

    Args:
        body: The body.
        segment: ``(V,)`` dominant joints of its template.
        heading: Rotation about the vertical, radians.
        position: ``(2,)`` x and z, meters.

    Returns:
        The person, with a seat if the pose needs one.
    """
    turn = Rotation.from_euler('y', heading).as_matrix()
    offset = np.array([position[0], 0.0, position[1]])
    seat = (
        _make_seat(body, segment, heading, position)
        if body.figure.pose.seat
        else None
    )
    return Person(
        body,
        heading,
        np.asarray(position, float),
        body.vertices @ turn.T + offset,
        body.normals @ turn.T,
        seat,
    )


def collides(person: Person, others: Sequence[Person]) -> bool:
    """Whether a person or its seat collides with other persons or seats.

    Args:
        person: The new person.
        others: Persons already placed.

    Returns:
        ``True`` if bodies or seats overlap.
    """
    for other in others:
        apart = np.linalg.norm(person.position - other.position)
        if apart > person.radius + other.radius:
            continue
        if any(
            a.seat is not None and a.seat.contains(b.vertices)
            for a, b in ((person, other), (other, person))
        ):
            return True
        if person.seat and other.seat and apart < 0.65:
            return True
        if bodies_overlap(
            person.vertices, person.normals, other.vertices, other.normals
        ):
            return True
    return False
