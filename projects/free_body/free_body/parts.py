# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Extra pieces of the mesh: eyeballs, teeth and the tongue."""

from __future__ import annotations

import numpy as np

from .makehuman import MakeHumanData
from .mesh_ops import triangulate

PART_NAMES = ('skin', 'eye', 'teeth', 'tongue', 'mouth')

_RINGS, _SEGMENTS = 17, 32
# Faces removed at the root of the tongue (nine on each side) to match the
# face count of the format; all other parts are watertight.
_OPEN_FACES_PER_SIDE = 9
_TONGUE_HEIGHT = 0.65
_LIP_CLOSURE = 0.035  # of the face unit that opens the jaw


def eyeball() -> tuple[np.ndarray, np.ndarray]:
    """Unit sphere of 546 vertices and 1088 faces; vertex 0 is at +z."""
    polar = np.pi * np.arange(1, _RINGS + 1) / (_RINGS + 1)
    around = 2 * np.pi * np.arange(_SEGMENTS) / _SEGMENTS
    polar, around = (
        x.ravel() for x in np.meshgrid(polar, around, indexing='ij')
    )
    ring = np.stack(
        [
            np.sin(polar) * np.cos(around),
            np.sin(polar) * np.sin(around),
            np.cos(polar),
        ],
        1,
    )
    vertices = np.concatenate([[[0, 0, 1.0]], ring, [[0, 0, -1.0]]])
    return vertices, _sphere_faces(len(vertices) - 1)


def _sphere_faces(back_pole: int) -> np.ndarray:
    segment = np.arange(_SEGMENTS)
    following = (segment + 1) % _SEGMENTS
    zero = np.zeros_like(segment)
    last = 1 + (_RINGS - 1) * _SEGMENTS
    faces = [
        np.stack([zero, 1 + segment, 1 + following], 1),
        np.stack([zero + back_pole, last + following, last + segment], 1),
    ]
    for ring in range(_RINGS - 1):
        a = 1 + ring * _SEGMENTS + segment
        b = 1 + ring * _SEGMENTS + following
        c, d = a + _SEGMENTS, b + _SEGMENTS
        faces += [np.stack([a, c, b], 1), np.stack([b, c, d], 1)]
    return np.concatenate(faces)


def teeth_faces(data: MakeHumanData, row: str) -> np.ndarray:
    """Triangles of the left half of one row of teeth, closed at the back.

    MakeHuman has an open U-shaped band, four vertices wide. Its two long
    borders are joined and its end is capped.

    Args:
        data: MakeHuman data.
        row: ``'upper'`` or ``'lower'``.
    """
    quads = data.quads[f'helper-{row}-teeth']
    quads = quads[(data.left[quads] | data.middle[quads]).all(1)]
    border = _border_path(quads, data.middle)
    caps = []
    first, last = 0, len(border) - 1
    while last - first >= 3:
        # Faces at the border are oriented against the open edge.
        caps.append(
            [border[first + 1], border[first], border[last], border[last - 1]]
        )
        first, last = first + 1, last - 1
    return triangulate(np.concatenate([quads, caps]), data.vertices)


def _border_path(quads: np.ndarray, middle: np.ndarray) -> list[int]:
    """Open border from the middle around the end and back to the middle."""
    edges = np.stack([quads, np.roll(quads, -1, axis=1)], -1).reshape(-1, 2)
    directed = {(int(a), int(b)) for a, b in edges}
    follow = {
        a: b
        for a, b in directed
        if (b, a) not in directed and not (middle[a] and middle[b])
    }
    (start,) = set(follow) - set(follow.values())
    path = [start]
    while path[-1] in follow:
        path.append(follow[path[-1]])
    return path


def tongue_faces(data: MakeHumanData) -> np.ndarray:
    """Triangles of the left half of the tongue, open at its root.

    The opening grows from the rearmost face on the midline as a single hole.
    """
    quads = data.quads['helper-tongue']
    quads = quads[(data.left[quads] | data.middle[quads]).all(1)]
    faces = triangulate(quads, data.vertices)
    depth = data.vertices[faces][..., 2].mean(1)
    at_seam = data.middle[faces].sum(1) == 2
    removed = [int(np.argmin(np.where(at_seam, depth, np.inf)))]
    while len(removed) < _OPEN_FACES_PER_SIDE:
        removed.append(_next_to_open(faces, removed, depth))
    return np.delete(faces, removed, 0)


def _next_to_open(
    faces: np.ndarray, removed: list[int], depth: np.ndarray
) -> int:
    """Rearmost face whose removal keeps a single hole.

    A face with one neighbor in the hole must add a vertex that is not yet
    at the hole. A face with two may be removed if their common vertex keeps
    another face.
    """
    hole = np.unique(faces[removed])
    left = np.setdiff1d(np.arange(len(faces)), removed)
    uses = np.bincount(faces[left].ravel(), minlength=faces.max() + 1)
    edges = {frozenset(e) for i in removed for e in _edges(faces[i])}
    for i in left[np.argsort(depth[left], kind='stable')]:
        shared = sum(frozenset(e) in edges for e in _edges(faces[i]))
        new_vertices = 3 - np.isin(faces[i], hole).sum()
        keeps_all = (uses[faces[i]] > 1).all()
        if keeps_all and (shared, new_vertices) in ((1, 1), (2, 0)):
            return int(i)
    raise RuntimeError('the root of the tongue cannot be opened further')


def _edges(face: np.ndarray) -> list[tuple[int, int]]:
    a, b, c = map(int, face)
    return [(a, b), (b, c), (c, a)]


def arrange_mouth(data: MakeHumanData) -> None:
    """Close the lips of the base mesh and lower its tongue.

    MakeHuman's lips leave a slit, and its tongue fills the open mouth.
    """
    data.vertices -= _LIP_CLOSURE * data.face_unit('jawOpen')
    tongue = np.unique(data.quads['helper-tongue'])
    y = data.vertices[tongue, 1]
    data.vertices[tongue, 1] = y.min() + _TONGUE_HEIGHT * (y - y.min())
