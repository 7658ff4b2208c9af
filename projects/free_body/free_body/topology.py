# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Selection, order and faces of the MakeHuman vertices of the free body.

The topology is computed on the mean neutral body and shared by all genders.
Only the left half is decimated; the right half is its mirror image.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .decimation import decimate
from .makehuman import MakeHumanData
from .mesh_ops import seen_from_outside, triangulate, unit
from .parts import PART_NAMES, eyeball, teeth_faces, tongue_faces
from .repose import RestBody
from .skeleton import (
    EYE_VERTICES,
    KEY_VERTICES,
    NUM_FACES,
    NUM_HAND_VERTICES,
    NUM_HEAD_VERTICES,
    NUM_SKIN_VERTICES,
    NUM_VERTICES,
    joint,
)

_HEAD, _HAND, _REST, _MOUTH = range(4)
_LEFT_HAND_START, _RIGHT_HAND_START = 4600, 7340
_MAX_HEAD_SEAM, _MAX_BODY_SEAM = 85, 60  # kept vertices on the midline
_HIDDEN_COST, _MOUTH_BAG_COST = 0.08, 0.5


@dataclass(frozen=True)
class Topology:
    """The mesh of the free body.

    Attributes:
        source: (9383,) MakeHuman vertex of each vertex except eyeballs.
        faces: (20908, 3).
        eyeballs: Unit spheres (546, 3) of ``'left'`` and ``'right'``, in
            vertex order.
        dominant: (9383,) joint with the largest weight.
        parts: (10475,) index into ``PART_NAMES``.
        left_hand, right_hand, head: Vertex ids of the regions.
    """

    source: np.ndarray
    faces: np.ndarray
    eyeballs: dict[str, np.ndarray]
    dominant: np.ndarray
    parts: np.ndarray
    left_hand: np.ndarray
    right_hand: np.ndarray
    head: np.ndarray


def build_topology(
    data: MakeHumanData, body: RestBody, weights: np.ndarray
) -> Topology:
    """Compute the topology on one body.

    Args:
        data: MakeHuman data.
        body: The mean neutral body.
        weights: (N, 55) skinning weights.

    Raises:
        RuntimeError: If the counts differ from those of the format.
    """
    region = _regions(data, weights)
    half = _decimated_half(data, body, region)
    faces = np.concatenate([half, data.mirror[half][:, ::-1]])
    kept = np.unique(faces)
    source = _ordered(data, kept, region)
    dominant = weights.argmax(1)
    picks = _key_vertices(body, source, dominant[source])
    source = _into_fixed_places(data, source, picks)
    place = np.full(len(data.vertices), -1)
    place[source] = np.arange(len(source))
    eyeballs, eye_faces = _eyeballs()
    faces = np.concatenate([place[faces], *eye_faces])
    if len(source) != NUM_SKIN_VERTICES or len(faces) != NUM_FACES:
        raise RuntimeError(
            f'got {len(source)} vertices and {len(faces)} faces, expected '
            f'{NUM_SKIN_VERTICES} and {NUM_FACES}'
        )
    hand = region[source] == _HAND
    in_head = np.isin(region[source], [_HEAD, _MOUTH])
    return Topology(
        source=source,
        faces=faces,
        eyeballs=eyeballs,
        dominant=dominant[source],
        parts=_parts(data, source),
        left_hand=np.flatnonzero(hand & data.left[source]),
        right_hand=np.flatnonzero(hand & ~data.left[source]),
        head=np.r_[np.flatnonzero(in_head), NUM_SKIN_VERTICES:NUM_VERTICES],
    )


def _regions(data: MakeHumanData, weights: np.ndarray) -> np.ndarray:
    dominant = weights.argmax(1)
    hands = [joint('left_wrist'), joint('right_wrist')]
    hands += range(joint('left_index_1'), joint('right_thumb_3') + 1)
    head = [joint(n) for n in ('neck', 'head', 'jaw')]
    region = np.full(len(weights), _REST)
    region[np.isin(dominant, hands)] = _HAND
    region[np.isin(dominant, head)] = _HEAD
    region[data.num_body :] = _MOUTH  # only teeth and tongue are used
    return region


def _seen(data: MakeHumanData, body: RestBody) -> np.ndarray:
    """Mask (N,) of the skin that is visible from outside."""
    skin = triangulate(data.quads['body'], body.vertices)
    seen = np.zeros(len(data.vertices), bool)
    seen[: data.num_body] = seen_from_outside(
        body.vertices[: data.num_body], skin
    )
    return seen


def _decimated_half(data, body, region) -> np.ndarray:
    """Faces of the left half with the seam, in MakeHuman's numbering."""
    quads = data.quads['body']
    quads = quads[(data.left | data.middle)[quads].all(1)]
    skin = triangulate(quads, body.vertices)
    half = np.unique(skin)
    local = np.full(len(data.vertices), -1)
    local[half] = np.arange(len(half))
    on_seam = data.middle[half]
    buckets = list(zip(region[half].tolist(), on_seam.tolist(), strict=True))
    cost = np.where(_seen(data, body)[half], 1.0, _HIDDEN_COST)
    cost[data.mouth_bag[half]] = _MOUTH_BAG_COST
    inner = [
        teeth_faces(data, 'upper'),
        teeth_faces(data, 'lower'),
        tongue_faces(data),
    ]
    num_inner = len(np.unique(np.concatenate(inner)))
    seam_inner = data.middle[np.unique(np.concatenate(inner))].sum()
    goals = _goals(buckets, 2 * num_inner - seam_inner)
    quotas = {k: buckets.count(k) - goal for k, goal in goals.items()}
    _, faces = decimate(
        body.vertices[half], local[skin], on_seam, buckets, quotas, cost
    )
    return np.concatenate([half[faces], *inner])


def _goals(buckets: list, num_inner: int) -> dict[tuple[int, bool], int]:
    """Vertices to keep in each region of the half, off and on the seam.

    A region of ``n`` vertices has ``(n - seam) / 2`` on each side.
    """
    num_eyes = NUM_VERTICES - NUM_SKIN_VERTICES
    head = NUM_HEAD_VERTICES - num_eyes - num_inner
    rest = NUM_VERTICES - NUM_HEAD_VERTICES - 2 * NUM_HAND_VERTICES
    head_seam = min(buckets.count((_HEAD, True)), _MAX_HEAD_SEAM)
    head_seam -= (head - head_seam) % 2
    rest_seam = min(buckets.count((_REST, True)), _MAX_BODY_SEAM)
    rest_seam -= (rest - rest_seam) % 2
    return {
        (_HEAD, False): (head - head_seam) // 2,
        (_HEAD, True): head_seam,
        (_HAND, False): NUM_HAND_VERTICES,
        (_REST, False): (rest - rest_seam) // 2,
        (_REST, True): rest_seam,
    }


def _ordered(data, kept: np.ndarray, region: np.ndarray) -> np.ndarray:
    """Order with hands in two blocks that contain the fixed finger ids."""
    left_hand = kept[(region[kept] == _HAND) & data.left[kept]]
    head = kept[np.isin(region[kept], [_HEAD, _MOUTH])]
    rest = kept[region[kept] == _REST]
    order = np.full(len(kept), -1)
    count = len(left_hand)
    order[_LEFT_HAND_START : _LEFT_HAND_START + count] = left_hand
    order[_RIGHT_HAND_START : _RIGHT_HAND_START + count] = data.mirror[
        left_hand
    ]
    order[order < 0] = np.concatenate([head, rest])
    return order


def _key_vertices(
    body: RestBody, source: np.ndarray, dominant: np.ndarray
) -> dict[str, int]:
    """Indices in ``source`` of nose, left ear, finger tips and left foot."""
    points, joints = body.vertices[source], body.joints

    def best(score: np.ndarray, among: np.ndarray) -> int:
        return int(np.argmax(np.where(among, score, -np.inf)))

    x, y, z = points.T
    eye = joints[joint('left_eyeball')]
    is_head = dominant == joint('head')
    near_nose = (
        is_head & (np.abs(x) < 1e-6) & (np.abs(y - eye[1] + 0.035) < 0.04)
    )
    near_ear = is_head & (np.abs(y - eye[1] + 0.015) < 0.03)
    near_ear &= z < eye[2] - 0.04
    picks = {'nose': best(z, near_nose), 'left_ear': best(x, near_ear)}
    for name, tip in body.finger_tips.items():
        bone = joint(f'left_{name}_3')
        along = unit(tip - joints[bone])
        away = np.linalg.norm(np.cross(points - tip, along), axis=1)
        reach = (points - joints[bone]) @ along - 0.15 * away
        picks[f'left_{name}'] = best(reach, dominant == bone)
    return picks | _foot_vertices(points, joints, dominant, best)


def _foot_vertices(points, joints, dominant, best: Callable) -> dict[str, int]:
    x, y, z = points.T
    ankle, ball = joints[joint('left_ankle')], joints[joint('left_foot')]
    sole = np.isin(dominant, [joint('left_foot'), joint('left_ankle')])
    sole &= y < ankle[1] - 0.02
    toes = sole & (z > ball[2] - 0.03)
    return {
        'left_big_toe': best(z - 0.8 * np.abs(x - ball[0] + 0.02), sole),
        'left_small_toe': best(x + 0.25 * z, toes),
        'left_heel': best(-z, sole),
    }


def _into_fixed_places(data, source, picks: dict[str, int]) -> np.ndarray:
    """Swap the picked vertices (and their mirror images) to fixed ids."""
    vertex = {name: source[i] for name, i in picks.items()}
    for name in list(vertex):
        if name.startswith('left_'):
            mirrored = data.mirror[vertex[name]]
            vertex[name.replace('left_', 'right_')] = mirrored
    out = source.copy()
    for name, index in vertex.items():
        old, new = np.flatnonzero(out == index)[0], KEY_VERTICES[name]
        out[[old, new]] = out[[new, old]]
    return out


def _eyeballs() -> tuple[dict[str, np.ndarray], list[np.ndarray]]:
    """Unit spheres and their faces; the front poles at the fixed ids."""
    sphere, faces = eyeball()
    spheres, all_faces = {}, []
    for side, place in EYE_VERTICES.items():
        pole = KEY_VERTICES[f'{side}_eye'] - place.start
        order = np.arange(len(sphere))
        order[[0, pole]] = order[[pole, 0]]
        spheres[side] = sphere[order]
        all_faces.append(order[faces] + place.start)  # order is an involution
    return spheres, all_faces


def _parts(data, source: np.ndarray) -> np.ndarray:
    of_vertex = np.zeros(len(data.vertices), np.uint8)
    of_vertex[data.mouth_bag] = PART_NAMES.index('mouth')
    for name, quads in data.quads.items():
        for part in ('teeth', 'tongue'):
            if name.endswith(part):
                of_vertex[quads] = PART_NAMES.index(part)
    eyes = np.full(
        NUM_VERTICES - len(source), PART_NAMES.index('eye'), np.uint8
    )
    return np.concatenate([of_vertex[source], eyes])
