# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Collision tests between bodies, and of limbs with their own body.

A point is inside a surface if it lies behind the tangent plane of the
nearest vertex.  With edges of about a centimeter this is accurate enough to
reject bad placements and takes a few milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.spatial import cKDTree

# Kinematic chains, as joints of the skinning weights.
_LEFT_ARM, _RIGHT_ARM = (13, 16, 18, 20), (14, 17, 19, 21)
_LEFT_FINGERS, _RIGHT_FINGERS = range(25, 40), range(40, 55)
_LEFT_LEG, _RIGHT_LEG = (1, 4, 7, 10), (2, 5, 8, 11)
_LOWER = {'left_arm': (20, *_LEFT_FINGERS), 'right_arm': (21, *_RIGHT_FINGERS)}


_CONTACT = 0.002  # meters; tolerated penetration of two bodies
# Tolerated self-penetration: meters, and share of a limb's vertices
_DEPTH, _SHARE = 0.01, 0.02
_REACH = 0.12  # meters; maximum depth of a point inside a limb or trunk


def _bounds(points: np.ndarray, margin: float) -> tuple[np.ndarray, ...]:
    """Corners of the box around points, widened by a margin."""
    columns = np.ascontiguousarray(points.T)
    return columns.min(1) - margin, columns.max(1) + margin


def _in_box(
    points: np.ndarray, low: np.ndarray, high: np.ndarray
) -> np.ndarray:
    """``(N,)`` mask of the points strictly inside a box.

    Computed by column: a reduction over an axis of length 3 is far slower.
    """
    inside = np.ones(len(points), bool)
    for axis in range(3):
        column = points[:, axis]
        inside &= (column > low[axis]) & (column < high[axis])
    return inside


def _mask(segment: np.ndarray, joints: Iterable[int]) -> np.ndarray:
    """``(V,)`` mask of the vertices that belong to joints."""
    table = np.zeros(55, bool)
    table[list(joints)] = True
    return table[segment]


def count_inside(
    points: np.ndarray, vertices: np.ndarray, normals: np.ndarray, depth: float
) -> int:
    """Counts points deeper than ``depth`` below a surface.

    Args:
        points: ``(N, 3)`` meters.
        vertices: ``(M, 3)`` vertices of the surface.
        normals: ``(M, 3)`` outward unit normals.
        depth: Tolerated depth, meters.

    Returns:
        Number of points.
    """
    if len(points) == 0 or len(vertices) == 0:
        return 0
    points = points[_in_box(points, *_bounds(vertices, 0.0))]
    if len(points) == 0:
        return 0
    # Only the surface around the points can be nearest to them.
    around = _in_box(vertices, *_bounds(points, _REACH))
    vertices, normals = vertices[around], normals[around]
    if len(vertices) == 0:
        return 0
    tree = cKDTree(vertices, balanced_tree=False, compact_nodes=False)
    _, nearest = tree.query(points)
    height = np.einsum(
        'nd,nd->n', points - vertices[nearest], normals[nearest]
    )
    return int((height < -depth).sum())


def bodies_overlap(
    first: np.ndarray,
    first_normals: np.ndarray,
    second: np.ndarray,
    second_normals: np.ndarray,
) -> bool:
    """Whether two bodies intersect.

    Args:
        first: ``(V, 3)`` vertices, meters, ``y`` up.
        first_normals: ``(V, 3)`` outward normals.
        second: ``(V, 3)`` vertices of the other body.
        second_normals: ``(V, 3)``.

    Returns:
        ``True`` if vertices of one are inside the other.
    """
    bounds = [_bounds(v, 0.0) for v in (first, second)]
    low = np.maximum(bounds[0][0], bounds[1][0])
    high = np.minimum(bounds[0][1], bounds[1][1])
    if (low > high).any():
        return False
    # Surfaces a little beyond the common box keep nearest vertices exact.
    boxes = [_in_box(v, low - _REACH, high + _REACH) for v in (first, second)]
    a, na = first[boxes[0]], first_normals[boxes[0]]
    b, nb = second[boxes[1]], second_normals[boxes[1]]
    return (
        count_inside(a, b, nb, _CONTACT) > 0
        or count_inside(b, a, na, _CONTACT) > 0
    )


def has_self_penetration(
    vertices: np.ndarray,
    normals: np.ndarray,
    segment: np.ndarray,
) -> bool:
    """Whether hands are inside the body, or the legs inside each other.

    Args:
        vertices: ``(V, 3)`` posed vertices, meters.
        normals: ``(V, 3)`` outward normals.
        segment: ``(V,)`` dominant joint of each vertex.

    Returns:
        ``True`` if a limb penetrates the body.
    """
    groups = {
        'left_arm': (*_LEFT_ARM, *_LEFT_FINGERS),
        'right_arm': (*_RIGHT_ARM, *_RIGHT_FINGERS),
    }
    for arm, chain in groups.items():
        limb = _mask(segment, _LOWER[arm])
        limb |= _far_half(vertices, segment, chain[2], chain[3])
        rest = ~_mask(segment, chain)
        inside = count_inside(
            vertices[limb], vertices[rest], normals[rest], _DEPTH
        )
        if inside > _SHARE * limb.sum():
            return True
    left = _mask(segment, _LEFT_LEG[1:])
    right = _mask(segment, _RIGHT_LEG)
    return (
        count_inside(vertices[left], vertices[right], normals[right], _DEPTH)
        > _SHARE * left.sum()
    )


def _far_half(
    vertices: np.ndarray, segment: np.ndarray, joint: int, child: int
) -> np.ndarray:
    """Mask of the half of the forearm's vertices nearest to the hand."""
    forearm = segment == joint
    hand = vertices[segment == child].mean(0)
    distance = np.linalg.norm(vertices - hand, axis=1)
    return forearm & (distance < np.median(distance[forearm]))
