# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Creation of the seed of the free body from MakeHuman data."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from . import seed
from .contour import contour_landmarks
from .expressions import expression_directions
from .hands import hand_components, hand_mean
from .landmarks import Face, face_landmarks
from .makehuman import MakeHumanData
from .mesh_ops import mirror_map, smooth
from .parts import PART_NAMES, arrange_mouth
from .regressor import fit_joint_regressor
from .repose import RestBody
from .shape_space import fit_directions, sample_bodies
from .skeleton import (
    EYE_VERTICES,
    KEY_VERTICES,
    MIRROR_X,
    MIRRORED_JOINTS,
    NUM_SKIN_VERTICES,
    NUM_VERTICES,
    PARENTS,
    is_left,
    is_right,
    joint,
)
from .skinning import crease_mask, fold_weights, largest, smooth_weights
from .topology import Topology, build_topology

GENDERS = ('neutral', 'male', 'female')  # the first one sets the topology
_PELVIS = np.array([0, -0.35, 0.01])  # not the origin, as in SMPL-X
_CREASE_STEPS = 4
_MAX_INFLUENCES, _WEIGHT_SLOTS, _MIN_WEIGHT = 6, 8, 0.01
_HEAD_TOP_VERTICES = 12

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Samples:
    """Bodies of one gender in the rest pose, aligned with each other.

    Attributes:
        coefficients: (S, 10).
        vertices: (S, N, 3).
        joints: (S, 55, 3).
        bodies: The bodies before smoothing and alignment.
    """

    coefficients: np.ndarray
    vertices: np.ndarray
    joints: np.ndarray
    bodies: list[RestBody]

    @property
    def eye_radii(self) -> np.ndarray:
        return np.array([body.eye_radius for body in self.bodies])

    def mean_body(self) -> RestBody:
        """The mean body; its finger tips move with the joints."""
        first = self.bodies[0]
        shift = self.joints[0] - first.joints
        return replace(
            first,
            vertices=self.vertices.mean(0),
            joints=self.joints.mean(0),
            eye_radius=float(self.eye_radii.mean()),
            finger_tips={
                name: tip + shift[0] for name, tip in first.finger_tips.items()
            },
        )


def build_seed(data: MakeHumanData, out: Path, num_samples: int) -> list[Path]:
    """Create the seed files of all genders.

    Args:
        data: MakeHuman data.
        out: Folder to write to.
        num_samples: Bodies drawn for each gender.

    Returns:
        The files written.
    """
    arrange_mouth(data)
    expressions = expression_directions(data)
    topology, weights, files = None, None, []
    for gender in GENDERS:
        samples = _draw(data, gender, num_samples)
        if topology is None:
            body = samples.mean_body()
            folded = _weights(data, body)
            topology = build_topology(data, body, folded)
            weights = _weights_with_eyes(folded[topology.source])
            common = _common_arrays(data, topology, weights, body)
            files.append(_write(out, 'common', common))
        arrays = _gender_arrays(samples, topology, weights, expressions)
        files.append(_write(out, gender, arrays))
    return files


def _write(out: Path, name: str, arrays: Mapping[str, np.ndarray]) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    path = out / f'free_body_{name}.npz'
    seed.write_seed(path, arrays)
    logger.info('%s: %d kB', path.name, path.stat().st_size // 1000)
    return path


def _draw(data: MakeHumanData, gender: str, count: int) -> _Samples:
    """Draw bodies, smooth their creases, and align them."""
    coefficients, bodies = sample_bodies(data, gender, count)
    vertices = np.stack([body.vertices for body in bodies])
    joints = np.stack([body.joints for body in bodies])
    folded = fold_weights(data, vertices[0], joints[0])
    mask = crease_mask(folded, vertices[0])
    vertices = smooth(vertices, data.quads['body'], mask, _CREASE_STEPS)
    vertices = np.stack([data.symmetric(v) for v in vertices])
    center = vertices[:, : data.num_body].mean(1, keepdims=True) * [0, 1, 1]
    vertices, joints = vertices - center, joints - center
    shift = _PELVIS - joints[0, joint('pelvis')]
    logger.info('%s: %d bodies in the rest pose', gender, count)
    return _Samples(coefficients, vertices + shift, joints + shift, bodies)


def _weights(data: MakeHumanData, body: RestBody) -> np.ndarray:
    folded = fold_weights(data, body.vertices, body.joints)
    return smooth_weights(data, folded, data.quads['body'])


def _weights_with_eyes(skin: np.ndarray) -> np.ndarray:
    """Weights (10475, 55) with few influences and rigid eyeballs."""
    weights = np.zeros((NUM_VERTICES, skin.shape[1]))
    weights[:NUM_SKIN_VERTICES] = largest(skin, _MAX_INFLUENCES, _MIN_WEIGHT)
    for side, eye in EYE_VERTICES.items():
        weights[eye, joint(f'{side}_eyeball')] = 1
    return weights


def _with_eyes(samples: _Samples, topology: Topology) -> np.ndarray:
    """The drawn bodies (S, 10475, 3) on the final topology."""
    count = len(samples.vertices)
    full = np.zeros((count, NUM_VERTICES, 3))
    full[:, :NUM_SKIN_VERTICES] = samples.vertices[:, topology.source]
    radii = samples.eye_radii[:, None, None]
    for side, eye in EYE_VERTICES.items():
        center = samples.joints[:, joint(f'{side}_eyeball')]
        full[:, eye] = center[:, None] + radii * topology.eyeballs[side]
    return full


def _gender_arrays(samples, topology, weights, expressions) -> dict:
    vertices = _with_eyes(samples, topology)
    template, directions = fit_directions(samples.coefficients, vertices)
    mirror = mirror_map(template)
    faces = np.zeros((len(expressions), *template.shape))
    faces[:, :NUM_SKIN_VERTICES] = expressions[:, topology.source]
    regressor = fit_joint_regressor(vertices, samples.joints, weights)
    error = np.einsum('jv,svc->sjc', regressor, vertices) - samples.joints
    error = np.linalg.norm(error, axis=-1).mean(0)
    logger.info(
        'joint regressor: mean error %.2f mm, worst %.2f mm at joint %d',
        1e3 * error.mean(),
        1e3 * error.max(),
        error.argmax(),
    )
    counts = _regressor_counts(regressor, mirror)
    rows, columns, values = seed.sparse_rows(counts)
    template = _symmetrized(template, mirror)
    directions = np.stack([_symmetrized(d, mirror) for d in directions])
    return {
        'template': seed.lengths(template, np.int32),
        'shape_directions': seed.lengths(directions, np.int16),
        'expression_directions': seed.lengths(faces, np.int16),
        'regressor_joints': rows,
        'regressor_vertices': columns,
        'regressor_values': values,
    }


def _symmetrized(values: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """Remove rounding errors from symmetric vectors."""
    return 0.5 * (values + values[mirror] * MIRROR_X)


def _regressor_counts(regressor, mirror) -> np.ndarray:
    """Integer rows; the right ones mirror the left ones exactly."""
    counts = np.zeros(regressor.shape, np.uint16)
    for index in range(len(regressor)):
        if is_left(index):
            counts[index] = seed.shares(regressor[index])
        elif not is_right(index):
            counts[index] = seed.balanced_shares(regressor[index], mirror)
    for index in range(len(regressor)):
        if is_right(index):
            counts[index] = counts[MIRRORED_JOINTS[index]][mirror]
    return counts


def _weight_counts(weights, template) -> np.ndarray:
    """Integer rows (V, 55), exactly symmetric."""
    counts = seed.shares(weights)
    mirror, x = mirror_map(template), template[:, 0]
    for i in np.flatnonzero(np.abs(x) < 1e-6):
        counts[i] = seed.balanced_shares(weights[i], MIRRORED_JOINTS)
    right = np.flatnonzero(x < -1e-6)
    counts[right] = counts[mirror[right]][:, MIRRORED_JOINTS]
    return counts


def _common_arrays(data, topology, weights, body) -> dict:
    vertices = np.zeros((NUM_VERTICES, 3))
    vertices[:NUM_SKIN_VERTICES] = body.vertices[topology.source]
    for side, eye in EYE_VERTICES.items():
        center = body.joints[joint(f'{side}_eyeball')]
        vertices[eye] = center + body.eye_radius * topology.eyeballs[side]
    counts = _weight_counts(weights, vertices)
    slots = np.argsort(-counts.astype(int), axis=1, kind='stable')
    slots = slots[:, :_WEIGHT_SLOTS]
    head_top = np.argsort(-vertices[:, 1], kind='stable')
    arrays = {
        'faces': topology.faces.astype(np.uint16),
        'parents': np.array(PARENTS, np.int8),
        'weight_joints': slots.astype(np.uint8),
        'weight_values': np.take_along_axis(counts, slots, 1),
        'vt': _texture(data, topology),
        'hand_mean': hand_mean(),
        'hand_components': np.round(hand_components(), 9),
        'left_hand_vertices': topology.left_hand.astype(np.uint16),
        'right_hand_vertices': topology.right_hand.astype(np.uint16),
        'head_vertices': topology.head.astype(np.uint16),
        'head_top_vertices': head_top[:_HEAD_TOP_VERTICES].astype(np.uint16),
        'vertex_parts': topology.parts,
        'vertex_part_names': np.array(PART_NAMES),
    }
    return arrays | _landmark_arrays(data, topology, vertices, body)


def _texture(data: MakeHumanData, topology: Topology) -> np.ndarray:
    """One coordinate (V, 2) per vertex in 1/65535; seams are not split."""
    texture = np.full((NUM_VERTICES, 2), 0.5)
    texture[:NUM_SKIN_VERTICES] = data.uv[topology.source]
    for side, eye in EYE_VERTICES.items():
        texture[eye] += 0.02 * topology.eyeballs[side][:, :2]
    return np.rint(texture.clip(0, 1) * 65535).astype(np.uint16)


def _landmark_arrays(data, topology, vertices, body) -> dict:
    head = np.zeros(NUM_VERTICES, bool)
    names = ('neck', 'head', 'jaw')
    head[:NUM_SKIN_VERTICES] = np.isin(
        topology.dominant, [joint(n) for n in names]
    )
    inside = [PART_NAMES.index(n) for n in ('teeth', 'tongue')]
    head &= ~np.isin(topology.parts, inside)
    rows = np.flatnonzero(head[topology.faces].all(1))
    corner = vertices[topology.faces[rows]]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    eye_depth = body.joints[joint('left_eyeball'), 2]
    front = (normal[:, 2] > 0) & (corner[:, :, 2].mean(1) > eye_depth - 0.03)
    drop = np.zeros(NUM_VERTICES)
    drop[:NUM_SKIN_VERTICES] = data.face_unit('jawOpen')[topology.source, 1]
    drop[~head] = 0
    face = Face(
        vertices,
        topology.faces,
        rows[front],
        body.joints,
        body.eye_radius,
        drop,
    )
    inner, inner_bary = face_landmarks(face)
    chin = _chin(vertices, drop)
    contour, contour_bary = contour_landmarks(
        vertices, topology.faces, rows, body.joints, chin
    )
    return {
        'landmark_faces': inner.astype(np.uint16),
        'landmark_barycentric': seed.shares(inner_bary),
        'contour_faces': contour.astype(np.uint16),
        'contour_barycentric': seed.shares(contour_bary),
    }


def _chin(vertices: np.ndarray, jaw_drop: np.ndarray) -> np.ndarray:
    """Lowest point on the midline that follows the jaw."""
    near_front = vertices[:, 2] > vertices[KEY_VERTICES['nose'], 2] - 0.05
    middle = (np.abs(vertices[:, 0]) < 0.002) & (jaw_drop < -0.012)
    candidates = np.flatnonzero(middle & near_front)
    return vertices[candidates[np.argmin(vertices[candidates, 1])]]
