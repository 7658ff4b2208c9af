# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Joint regressor: joints as convex combinations of a few vertices.

Non-negative least squares over many body shapes; the left half is solved
and the right half mirrored.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from .mesh_ops import mirror_map
from .skeleton import (
    EYE_VERTICES,
    MIRRORED_JOINTS,
    NUM_JOINTS,
    NUM_SKIN_VERTICES,
    PARENTS,
    is_left,
    is_right,
    joint,
)

_SECTORS, _PER_SECTOR, _NEAREST = 12, 10, 60
_SUM_WEIGHT = 10.0
_MAX_BODIES = 60


def fit_joint_regressor(
    vertices: np.ndarray, joints: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Fit the regressor.

    Args:
        vertices: (S, V, 3) bodies.
        joints: (S, 55, 3) their joints.
        weights: (V, 55) skinning weights.

    Returns:
        (55, V), rows non-negative with sum one.
    """
    every = max(1, len(vertices) // _MAX_BODIES)
    vertices, joints = vertices[::every], joints[::every]
    template, centers = vertices.mean(0), joints.mean(0)
    mirror = mirror_map(template)
    regressor = np.zeros((NUM_JOINTS, template.shape[0]))
    for index in range(NUM_JOINTS):
        if is_right(index):
            continue
        if index == joint('left_eyeball'):
            eye = EYE_VERTICES['left']
            regressor[index, eye] = 1 / (eye.stop - eye.start)
            continue
        near = _candidates(index, template, centers[index], weights)
        if not is_left(index):
            near = np.unique(np.concatenate([near, mirror[near]]))
        row = np.zeros(template.shape[0])
        row[near] = _solve(vertices[:, near], joints[:, index])
        if not is_left(index):
            row = 0.5 * (row + row[mirror])
        regressor[index] = row / row.sum()
    for index in range(NUM_JOINTS):
        if is_right(index):
            regressor[index] = regressor[MIRRORED_JOINTS[index]][mirror]
    return regressor


def _solve(vertices: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Convex weights (C,) from candidates (S, C, 3) and joints (S, 3)."""
    matrix = vertices.transpose(0, 2, 1).reshape(-1, vertices.shape[1])
    total = np.full((1, matrix.shape[1]), _SUM_WEIGHT)
    right_side = np.append(joints.ravel(), _SUM_WEIGHT)
    return nnls(np.r_[matrix, total], right_side, maxiter=5000)[0]


def _candidates(
    index: int, template: np.ndarray, center: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Skin vertices near the joint, in all directions around the limb."""
    offset = template[:NUM_SKIN_VERTICES] - center
    own = weights[:NUM_SKIN_VERTICES, index].copy()
    if PARENTS[index] >= 0:
        own += weights[:NUM_SKIN_VERTICES, PARENTS[index]]
    distance = np.linalg.norm(offset, axis=1)
    found = [np.argsort(distance - 0.04 * (own > 0.2), kind='stable')]
    found[0] = found[0][:_NEAREST]
    along, across = _limb_axes(index)
    height = np.abs(offset[:, along])
    angle = np.arctan2(offset[:, across[0]], offset[:, across[1]])
    trunk = [joint(n) for n in ('pelvis', 'spine_1', 'spine_2', 'spine_3')]
    allowed = (own > 0.05) | (index in trunk)
    score = np.where(allowed, distance + 1.5 * height, np.inf)
    for k in range(_SECTORS):
        turn = angle - 2 * np.pi * k / _SECTORS
        away = np.abs((turn + np.pi) % (2 * np.pi) - np.pi)
        sector = np.flatnonzero(away < np.pi / _SECTORS)
        best = sector[np.argsort(score[sector], kind='stable')]
        found.append(best[:_PER_SECTOR])
    return np.unique(np.concatenate(found))


def _limb_axes(index: int) -> tuple[int, tuple[int, int]]:
    """Axis along the limb and the two across; arms lie along x."""
    arm = [joint(f'left_{n}') for n in ('shoulder', 'elbow', 'wrist')]
    if index in arm or index >= joint('left_index_1'):
        return 0, (1, 2)
    return 1, (0, 2)
