# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Clip triangles before they are projected.

The rasterizer divides by z and has 32-bit pixel coordinates, so triangles must
not reach behind the near plane or extremely far beyond the image.
"""

from __future__ import annotations

import numpy as np

# Only triangles that reach this many image sizes beyond the image are clipped
# at the sides; the others are cheaper to rasterize unclipped.
GUARD_BAND = 8


def clip_to_camera(
    vertices: np.ndarray,
    faces: np.ndarray,
    colors: np.ndarray,
    K: np.ndarray,
    height: int,
    width: int,
    near: float,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clip a mesh at the near plane and at a wide band around the image.

    Args:
        vertices (np.ndarray): (V, 3) camera coordinates.
        faces (np.ndarray): (F, 3) indices.
        colors (np.ndarray): (V, 3), interpolated at new vertices.
        K (np.ndarray): (3, 3) intrinsics.
        height (int): Image height in pixels.
        width (int): Image width in pixels.
        near (float): Smallest z that is kept, meters.

    Returns:
        tuple: Vertices, faces and colors of the visible part, without unused
        vertices; the unchanged input if the whole mesh lies inside.
    """
    whole = vertices
    for plane in _planes(np.asarray(K, np.float64), height, width, near):
        distance = vertices @ plane[:3] + plane[3]
        if (distance < 0).any():
            vertices, faces, colors = _clip_to_plane(
                vertices, faces, colors, distance
            )
    if vertices is whole:
        return vertices, faces, colors
    used, index = np.unique(faces, return_inverse=True)
    faces = index.reshape(-1, 3).astype(np.int32)
    return vertices[used], faces, colors[used]


def _planes(
    K: np.ndarray, height: int, width: int, near: float
) -> list[np.ndarray]:
    """Planes (a, b, c, d) with ax + by + cz + d >= 0 inside, near first."""
    u, v = np.append(K[0], 0.0), np.append(K[1], 0.0)
    z = np.array([0.0, 0.0, 1.0, 0.0])
    far_x, far_y = GUARD_BAND * width, GUARD_BAND * height
    return [
        np.array([0.0, 0.0, 1.0, -near]),
        u + far_x * z,
        (width + far_x) * z - u,
        v + far_y * z,
        (height + far_y) * z - v,
    ]


def _clip_to_plane(
    vertices: np.ndarray,
    faces: np.ndarray,
    colors: np.ndarray,
    distance: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keep the part of every triangle where ``distance`` (V,) is >= 0."""
    inside = distance[faces] >= 0
    count = inside.sum(1)
    parts = [faces[count == 3]]
    cuts: list[np.ndarray] = []
    # Rotate each triangle until the corner that differs comes first.
    for num_inside in (1, 2):
        chosen = count == num_inside
        differs = inside[chosen] == (num_inside == 1)
        first = differs.argmax(1)[:, None]
        turned = np.take_along_axis(
            faces[chosen], (first + np.arange(3)) % 3, axis=1
        )
        a, b, c = turned.T
        start = len(vertices) + sum(map(len, cuts))
        ab = start + np.arange(len(a), dtype=np.int32)
        ac = ab + len(a)
        cuts += [np.stack([a, b], 1), np.stack([a, c], 1)]
        if num_inside == 1:
            parts.append(np.stack([a, ab, ac], 1))
        else:
            parts.append(np.stack([ab, b, c], 1))
            parts.append(np.stack([ab, c, ac], 1))
    ends = np.concatenate(cuts)
    d0, d1 = distance[ends[:, 0]], distance[ends[:, 1]]
    t = (d0 / (d0 - d1))[:, None]

    def extend(values: np.ndarray) -> np.ndarray:
        new = values[ends[:, 0]] * (1 - t) + values[ends[:, 1]] * t
        return np.concatenate([values, new.astype(values.dtype)])

    return extend(vertices), np.concatenate(parts), extend(colors)
