# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Layout of SMPL-X poses, joints and coefficients; without PyTorch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from aios.structures import POSE_JOINTS, get_joint_set, joint_mapping
from aios.structures.arrays import library_of

VERTEX_JOINTS: Mapping[str, int] = {
    'nose': 9120,
    'right_eye': 9929,
    'left_eye': 9448,
    'right_ear': 616,
    'left_ear': 6,
    'left_bigtoe': 5770,
    'left_smalltoe': 5780,
    'left_heel': 8846,
    'right_bigtoe': 8463,
    'right_smalltoe': 8474,
    'right_heel': 8635,
    'left_thumb': 5361,
    'left_index': 4933,
    'left_middle': 5058,
    'left_ring': 5169,
    'left_pinky': 5286,
    'right_thumb': 8079,
    'right_index': 7669,
    'right_middle': 7794,
    'right_ring': 7905,
    'right_pinky': 8022,
}
"""Joints 55 to 75 of ``'smplx_144'`` are vertices of the mesh."""

NUM_SKELETON, NUM_STATIC = 55, 127
"""Joints of ``'smplx_144'`` before vertices, and before the contour."""

NECK = 12
"""The joint whose yaw moves the contour of the face."""

MAX_CONTOUR_YAW = 39
"""Degrees of head yaw for which the contour is tabulated, either side."""

_WIDE_LAYOUT, _WIDE_NUM_BETAS = 400, 300  # 300 shape + 100 expression
_NARROW_NUM_BETAS = 10  # older files: 10 shape + 10 expression


def split_shape_directions(
    shapedirs: np.ndarray,
    num_betas: int,
    num_expression_coeffs: int,
    source: str | os.PathLike = 'the model file',
) -> np.ndarray:
    """Select the shape and expression directions of a model file.

    Files have 300 shape and 100 expression directions (v1.1) or 10 and 10
    (v1.0, sometimes followed by others).

    Args:
        shapedirs: ``(V, 3, S)``.
        num_betas: Number of shape directions.
        num_expression_coeffs: Number of expression directions.
        source: The file, for the error.

    Returns:
        ``(V, 3, num_betas + num_expression_coeffs)``.

    Raises:
        ValueError: The file has fewer directions.
    """
    total = shapedirs.shape[2]
    start = _WIDE_NUM_BETAS if total >= _WIDE_LAYOUT else _NARROW_NUM_BETAS
    most = start, 100 if total >= _WIDE_LAYOUT else max(0, min(10, total - 10))
    for name, number, limit in (
        ('num_betas', num_betas, most[0]),
        ('num_expression_coeffs', num_expression_coeffs, most[1]),
    ):
        if not 0 <= number <= limit:
            raise ValueError(
                f'{source}: {name} must be in 0..{limit} for its {total} '
                f'shape directions, got {number}'
            )
    columns = np.r_[0:num_betas, start : start + num_expression_coeffs]
    return shapedirs[:, :, columns]


def joints_by_depth(parents: np.ndarray) -> list[np.ndarray]:
    """Group the joints of a kinematic tree by depth, without the root.

    Args:
        parents: ``(J,)`` parent of each joint, with a lower index; the first
            entry, of the root, is ignored.

    Returns:
        Indices ``(n,)`` of the joints of depth 1, of depth 2, and so on.
    """
    depth = np.zeros(len(parents), np.int64)
    for joint, parent in enumerate(parents[1:], start=1):
        depth[joint] = depth[parent] + 1
    return [np.flatnonzero(depth == d) for d in range(1, depth.max() + 1)]


def rest_skeleton(
    arrays: Mapping[str, np.ndarray], shape_directions: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Joints of the rest pose as a linear function of the shape.

    Args:
        arrays: Arrays of a model file.
        shape_directions: ``(V, 3, C)``.

    Returns:
        ``(J,)`` int64 parents, -1 for the root; ``(J, 3)`` joints of the mean
        shape; ``(C, 3 J)`` their change with the coefficients.
    """
    parents = arrays['kintree_table'][0].astype(np.int64)
    parents[0] = -1
    regressor = arrays['J_regressor'].astype(np.float64)
    moves = np.tensordot(regressor, shape_directions, axes=1)
    moves = moves.reshape(-1, moves.shape[-1]).T.copy()
    return parents, regressor @ arrays['v_template'], moves


def used_vertices(
    *groups: np.ndarray,
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Unique vertices of groups of indices, and the groups re-indexed."""
    flat = np.concatenate([group.ravel() for group in groups])
    used, place = np.unique(flat, return_inverse=True)
    ends = np.cumsum([group.size for group in groups])[:-1]
    parts = zip(np.split(place, ends), groups, strict=True)
    return used, [part.reshape(group.shape) for part, group in parts]


def joint_source(native: str, joint_set: str) -> np.ndarray:
    """Indices of the joints of a set among those of a body model.

    Raises:
        ValueError: The body model lacks joints; the message names them.
        KeyError: Unknown joint set.
    """
    source = joint_mapping(native, joint_set, approximate=True)
    names = get_joint_set(joint_set).names
    lacking = [names[i] for i in np.flatnonzero(source < 0)]
    if lacking:
        raise ValueError(
            f'joint_set {joint_set!r} needs joints that {native!r} does not '
            f'have: {", ".join(lacking)}'
        )
    return source


def common_rows(given: Mapping[str, Any]) -> int:
    """Number of persons of arguments; single rows are broadcast.

    Raises:
        ValueError: Numbers of rows differ, or an argument has no batch axis.
    """
    for name, value in given.items():
        if value.ndim < 2:
            raise ValueError(
                f'{name} must have a batch dimension, got shape '
                f'{tuple(value.shape)}'
            )
    others = {len(value) for value in given.values()} - {1}
    if len(others) > 1:
        shapes = {name: tuple(value.shape) for name, value in given.items()}
        raise ValueError(
            'arguments must have the same number of rows (or one row), got '
            f'{shapes}'
        )
    return others.pop() if others else 1


def as_pose(name: str, pose: Any) -> Any:
    """An argument as ``(B, K, 3)`` axis-angle or ``(B, K, 3, 3)`` matrices.

    Raises:
        ValueError: It is neither.
    """
    joints, shape = POSE_JOINTS[name], tuple(pose.shape[1:])
    if shape in ((joints, 3), (3 * joints,)):
        return pose.reshape(len(pose), joints, 3)
    if shape == (joints, 3, 3) or (joints == 1 and shape == (3, 3)):
        return pose.reshape(len(pose), joints, 3, 3)
    raise ValueError(
        f'{name} must have shape (B, {3 * joints}) or (B, {joints}, 3) for '
        f'axis-angle, or (B, {joints}, 3, 3) for rotation matrices, got '
        f'{tuple(pose.shape)}'
    )


def contour_rows(neck_rotation: Any) -> Any:
    """Row of the contour table for each head yaw.

    Rows 0..39 are for 0..39 degrees to one side, rows 40..78 for 1..39 to
    the other; larger angles use the last row (SMPL-X model files).

    Args:
        neck_rotation: ``(B, 3, 3)`` global rotation of the neck joint, array
            or tensor without gradient.

    Returns:
        ``(B,)`` int64 in 0..78; 0 where the rotation is NaN.
    """
    library = library_of(neck_rotation)
    run = library.hypot(neck_rotation[:, 0, 0], neck_rotation[:, 1, 0])
    yaw = library.rad2deg(library.arctan2(neck_rotation[:, 2, 0], run))
    yaw = library.nan_to_num(yaw).clip(-MAX_CONTOUR_YAW, MAX_CONTOUR_YAW)
    yaw = library.asarray(yaw.round(), dtype=library.int64)
    return library.where(yaw < 0, MAX_CONTOUR_YAW - yaw, yaw)
