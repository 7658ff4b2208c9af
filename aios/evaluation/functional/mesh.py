# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Errors of meshes by part: the whole person, body, hands and face.

Roots and joints are regressed from the meshes themselves, on both sides, and
not taken from a body model's joints.  Whatever the unit of the meshes, it is
the unit of the errors.

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
"""By name: ``(N,)`` errors, and ``(N,)`` bool of whom they are known."""
VisibleFunction = Callable[[np.ndarray], np.ndarray]
"""From true points ``(N, K, 3)`` to ``(N, K)`` bool: which count."""

_SIDES = ('lhand', 'rhand')


@dataclass(frozen=True, eq=False)
class MeshPart:
    """Points of a mesh that are measured together.

    Args:
        root: ``(V,)`` weights of the joint at which meshes are aligned.
        vertices: ``(K,)`` ids for MPVPE; None if surfaces of this part are
            not measured.
        joints: ``(J, V)`` regressor for MPJPE; None if joints of this part
            are not measured.
        surface_by_joints: Whether PA-MPVPE is after the similarity of the
            joints instead of that of the vertices.
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
        part: What is measured.
        visible: Which points count; all of them align nevertheless.  Default
            all count.

    Returns:
        ``MPVPE`` and ``PA-MPVPE`` if the part has vertices, ``MPJPE`` and
        ``PA-MPJPE`` if it has joints.  The error of a person without a
        point that counts is not known.
    """
    predicted = np.asarray(predicted, np.float64)
    true = np.asarray(true, np.float64)
    roots, true_roots = part.root @ predicted, part.root @ true
    errors: Errors = {}
    for name, places in (('MPVPE', part.vertices), ('MPJPE', part.joints)):
        if places is None:
            continue
        ours = select_points(predicted, places)
        there = select_points(true, places)
        mask = None if visible is None else visible(there)
        errors[name] = mean_point_error(
            align_roots(ours, roots), align_roots(there, true_roots), mask
        )
        errors[f'PA-{name}'] = procrustes_point_error(
            ours, there, mask, all_align=True
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
        parts: By name.  If there are ``lhand`` and ``rhand``, there will be
            ``hand``: of each person the mean of the sides that are known.
        known: For some parts ``(N,)`` bool, whose part is annotated; default
            of all.
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
