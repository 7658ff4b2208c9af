# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Mesh utilities: triangles, normals, smoothing, visibility, rays."""

from __future__ import annotations

import numpy as np
from scipy.sparse import coo_matrix, diags
from scipy.spatial import cKDTree

from .skeleton import MIRROR_X


def unit(vector: np.ndarray) -> np.ndarray:
    """Scale a vector (..., 3) to length one."""
    return vector / np.linalg.norm(vector, axis=-1, keepdims=True)


def smooth_step(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, with a smooth ramp between."""
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def triangulate(quads: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Split quads (Q, 4) along the shorter diagonal into (2Q, 3)."""
    corner = vertices[quads]
    first = np.linalg.norm(corner[:, 0] - corner[:, 2], axis=1)
    second = np.linalg.norm(corner[:, 1] - corner[:, 3], axis=1)
    # Rounding makes the choice stable if both are equally long.
    use_first = (np.round(first - second, 7) <= 0)[:, None]
    half_a = np.where(use_first, quads[:, [0, 1, 2]], quads[:, [0, 1, 3]])
    half_b = np.where(use_first, quads[:, [0, 2, 3]], quads[:, [1, 2, 3]])
    return np.concatenate([half_a, half_b])


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals (V, 3)."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    face_normals = np.cross(b - a, c - a)
    normals = np.zeros_like(vertices)
    for k in range(3):
        np.add.at(normals, faces[:, k], face_normals)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return normals / np.maximum(length, 1e-12)


def smooth(
    values: np.ndarray,
    faces: np.ndarray,
    mask: np.ndarray,
    steps: int,
    rate: float = 0.5,
) -> np.ndarray:
    """Move values (V, C) towards their neighbors' mean, ``steps`` times.

    Args:
        values: (V, C), or (S, V, C) for a batch that shares the mesh.
        faces: (F, 3) triangles or (Q, 4) quads.
        mask: (V,) strength in 0..1.
        steps: Number of steps.
        rate: Step size at full strength.
    """
    adjacency = _adjacency(faces, len(mask))
    degree = np.maximum(np.asarray(adjacency.sum(1)).ravel(), 1)
    mean = diags(1 / degree) @ adjacency
    amount = rate * mask[:, None]
    if values.ndim == 3:
        return np.stack([smooth(v, faces, mask, steps, rate) for v in values])
    values = values.copy()
    for _ in range(steps):
        values += amount * (mean @ values - values)
    return values


def _adjacency(faces: np.ndarray, num_vertices: int) -> coo_matrix:
    """Symmetric 0/1 matrix of the edges."""
    edges = np.stack([faces, np.roll(faces, -1, axis=1)], -1).reshape(-1, 2)
    edges = np.unique(np.sort(edges, 1), axis=0)
    rows, columns = np.concatenate([edges, edges[:, ::-1]]).T
    size = (num_vertices, num_vertices)
    return coo_matrix((np.ones(len(rows)), (rows, columns)), size).tocsr()


def mirror_map(vertices: np.ndarray) -> np.ndarray:
    """Index of the mirror image of each vertex of a symmetric mesh."""
    return cKDTree(vertices).query(vertices * MIRROR_X)[1]


def seen_from_outside(
    vertices: np.ndarray,
    faces: np.ndarray,
    cell: float = 0.004,
    slack: float = 0.006,
    views: int = 40,
) -> np.ndarray:
    """Mask (V,) of vertices that are visible from at least one direction.

    The mesh is approximated by coarse orthographic depth maps (``cell``
    meters); cavities such as mouth, nostrils and eye sockets are invisible.
    """
    corner = [vertices[faces[:, k]] for k in range(3)]
    middles = [(corner[k] + corner[k - 1]) / 2 for k in range(3)]
    points = np.concatenate([*corner, *middles, sum(corner) / 3])
    normals = vertex_normals(vertices, faces)
    seen = np.zeros(len(vertices), bool)
    directions = unit(np.random.RandomState(0).randn(views, 3))
    for direction in directions:
        right = unit(np.cross(direction, [0.3, 0.5, 0.8]))
        axes = np.stack([right, np.cross(direction, right)], 1)
        origin = (points @ axes).min(0)
        cells = ((points @ axes - origin) / cell).astype(int)
        front = np.full(cells.max(0) + 3, -np.inf)
        np.maximum.at(front, tuple(cells.T), points @ direction)
        vertex_cells = ((vertices @ axes - origin) / cell).astype(int)
        depth = vertices @ direction - front[tuple(vertex_cells.T)]
        seen |= (depth >= -slack) & (normals @ direction > 0.1)
    return seen


def outermost_hits(
    vertices: np.ndarray,
    faces: np.ndarray,
    origins: np.ndarray,
    directions: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Last intersection of each ray.

    Args:
        vertices: (V, 3).
        faces: (F, 3) the candidates.
        origins: (R, 3).
        directions: (R, 3).

    Returns:
        Row of ``faces`` (R,), barycentric coordinates (R, 3), distance
        (R,). Without intersection: the triangle with the nearest center,
        thirds, and minus infinity.
    """
    a = vertices[faces[:, 0]]
    edge1 = vertices[faces[:, 1]] - a
    edge2 = vertices[faces[:, 2]] - a
    centers = a + (edge1 + edge2) / 3
    hits, coordinates, distances = [], [], []
    for origin, direction in zip(origins, directions, strict=True):
        u, v, distance = _intersect(origin, direction, a, edge1, edge2)
        best = int(np.argmax(distance))
        bary = [1 - u[best] - v[best], u[best], v[best]]
        if distance[best] == -np.inf:
            away = np.cross(centers - origin, direction)
            best = int(np.argmin(np.linalg.norm(away, axis=1)))
            bary = [1 / 3] * 3
        hits.append(best)
        coordinates.append(np.clip(bary, 0, 1))
        distances.append(distance[best])
    bary = np.array(coordinates)
    bary /= bary.sum(1, keepdims=True)
    return np.array(hits), bary, np.array(distances)


def _intersect(origin, direction, a, edge1, edge2, slack=1e-6):
    """Moeller-Trumbore for one ray and many triangles."""
    p = np.cross(direction, edge2)
    det = (edge1 * p).sum(1)
    inverse = 1 / np.where(np.abs(det) > 1e-14, det, np.inf)
    to_origin = origin - a
    u = (to_origin * p).sum(1) * inverse
    q = np.cross(to_origin, edge1)
    v = (q @ direction) * inverse
    distance = (edge2 * q).sum(1) * inverse
    inside = (u >= -slack) & (v >= -slack) & (u + v <= 1 + slack)
    inside &= (distance > 0) & (inverse != 0)
    return u, v, np.where(inside, distance, -np.inf)
