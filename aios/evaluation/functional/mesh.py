# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Errors of meshes by part: the whole person, body, hands and face.

Roots and joints are regressed from the predicted and the true meshes, not
taken from a body model.  Errors have the unit of the meshes.

Symbols: ``N`` persons, ``V`` vertices of a mesh, ``K`` points, ``J`` joints
of a part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from aios.structures.procrustes import procrustes_align

from .errors import (
    align_roots,
    masked_mean,
    mean_point_error,
    procrustes_point_error,
)

Errors = dict[str, tuple[np.ndarray, np.ndarray]]
"""By name: ``(N,)`` errors, and ``(N,)`` bool, persons with a known error."""
VisibleFunction = Callable[[np.ndarray], np.ndarray]
"""From true points ``(N, K, 3)`` to ``(N, K)`` bool, points that count."""

_SIDES = ('lhand', 'rhand')


@dataclass(frozen=True, eq=False)
class MeshPart:
    """A part of a mesh that is evaluated.

    Args:
        root: ``(V,)`` weights of the joint at which meshes are aligned.
        vertices: ``(K,)`` ids for MPVPE; None to omit vertex errors.
        joints: ``(J, V)`` regressor for MPJPE; None to omit joint errors.
        surface_by_joints: Whether PA-MPVPE aligns by the joints instead of
            the vertices.
    """

    root: np.ndarray
    vertices: np.ndarray | None = None
    joints: np.ndarray | None = None
    surface_by_joints: bool = False


def select_points(mesh: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Points of meshes.

    Args:
        mesh: ``(N, V, 3)``.
        places: ``(K,)`` vertex ids, or ``(K, V)`` weights.

    Returns:
        ``(N, K, 3)``.
    """
    return mesh[:, places] if places.ndim == 1 else places @ mesh


def part_errors(
    predicted: np.ndarray,
    true: np.ndarray,
    part: MeshPart,
    visible: VisibleFunction | None = None,
) -> Errors:
    """All errors of a part.

    Args:
        predicted: ``(N, V, 3)`` meshes.
        true: ``(N, V, 3)`` meshes.
        part: The part.
        visible: Points that count, default all; alignment uses all points.

    Returns:
        ``MPVPE`` and ``PA-MPVPE`` if the part has vertices, ``MPJPE`` and
        ``PA-MPJPE`` if it has joints.  The error of a person without a
        point that counts is unknown.
    """
    predicted = np.asarray(predicted, np.float64)
    true = np.asarray(true, np.float64)
    roots, true_roots = part.root @ predicted, part.root @ true
    errors: Errors = {}
    for name, places in (('MPVPE', part.vertices), ('MPJPE', part.joints)):
        if places is None:
            continue
        points = select_points(predicted, places)
        true_points = select_points(true, places)
        mask = None if visible is None else visible(true_points)
        errors[name] = mean_point_error(
            align_roots(points, roots),
            align_roots(true_points, true_roots),
            mask,
        )
        errors[f'PA-{name}'] = procrustes_point_error(
            points, true_points, mask, all_align=True
        )
    joints, vertices = part.joints, part.vertices
    if part.surface_by_joints and joints is not None and vertices is not None:
        transform = procrustes_align(
            select_points(predicted, joints), select_points(true, joints)
        )
        errors['PA-MPVPE'] = mean_point_error(
            transform(select_points(predicted, vertices)),
            select_points(true, vertices),
        )
    return errors


def mesh_errors(
    predicted: np.ndarray,
    true: np.ndarray,
    parts: Mapping[str, MeshPart],
    known: Mapping[str, np.ndarray] | None = None,
    visible: VisibleFunction | None = None,
) -> Errors:
    """Errors of several parts, as benchmarks report them.

    Args:
        predicted: ``(N, V, 3)`` meshes.
        true: ``(N, V, 3)`` meshes.
        parts: By name.  ``lhand`` and ``rhand`` together also give ``hand``:
            the mean of a person's known hands.
        known: For some parts ``(N,)`` bool, persons with an annotation of
            the part; default all.
        visible: See :func:`part_errors`.

    Returns:
        By name, ``MPVPE-all``, ``PA-MPVPE-hand``, ``PA-MPJPE-body`` ...
    """
    found: Errors = {}
    for part_name, part in parts.items():
        annotated = np.ones(len(true), bool)
        if known is not None and part_name in known:
            annotated = np.asarray(known[part_name], bool)
        for name, (error, counts) in part_errors(
            predicted, true, part, visible
        ).items():
            found[f'{name}-{part_name}'] = error, counts & annotated
    for name in ('MPVPE', 'PA-MPVPE', 'MPJPE', 'PA-MPJPE'):
        sides = [f'{name}-{side}' for side in _SIDES]
        if all(side in found for side in sides):
            values, counts = (
                np.stack(columns, axis=1)
                for columns in zip(*(found[s] for s in sides), strict=True)
            )
            found[f'{name}-hand'] = masked_mean(values, counts)
    return found
