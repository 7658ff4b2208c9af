# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Half-edge collapse of a mesh onto a subset of its vertices.

Quadric error metrics (Garland and Heckbert, "Surface Simplification Using
Quadric Error Metrics", 1997), restricted to collapsing a vertex onto a
neighbor, so that weights and targets of remaining vertices stay valid.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable, Mapping, Sequence

import numpy as np

_MIN_NORMAL_COSINE = 0.3
_MIN_SHAPE = 0.08  # twice the area over the longest edge squared
_LENGTH_PENALTY = 1e-4


def decimate(
    vertices: np.ndarray,
    faces: np.ndarray,
    on_seam: np.ndarray,
    buckets: Sequence[Hashable],
    quotas: Mapping[Hashable, int],
    cost_scale: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Remove the cheapest vertices until the quota of each bucket is met.

    Args:
        vertices: (V, 3) meters.
        faces: (F, 3).
        on_seam: (V,) boundary vertices, which only collapse along the seam.
        buckets: The bucket of each vertex.
        quotas: Number of vertices to remove from each bucket.
        cost_scale: (V,) factor on the cost of removing a vertex.

    Returns:
        Mask (V,) of the remaining vertices, and their faces (F', 3).

    Raises:
        RuntimeError: If no further vertex can be removed to meet a quota.
    """
    mesh = _Mesh(vertices, faces, on_seam, cost_scale)
    left = dict(quotas)
    for u in range(len(vertices)):
        if left.get(buckets[u], 0) > 0:
            mesh.push(u)
    while mesh.heap and any(left.values()):
        _, u, w, stamp = heapq.heappop(mesh.heap)
        if mesh.stamp[u] != stamp or not left.get(buckets[u], 0):
            continue
        if not mesh.alive[w] or not mesh.can_collapse(u, w):
            continue
        mesh.collapse(u, w)
        left[buckets[u]] -= 1
        for x in sorted(mesh.neighbors(w) | {w}):
            mesh.stamp[x] += 1
            if left.get(buckets[x], 0) > 0:
                mesh.push(x)
    if any(left.values()):
        raise RuntimeError(
            f'decimation stopped, vertices still to remove: {left}'
        )
    return mesh.alive, np.array(list(mesh.faces.values()))


class _Mesh:
    """Triangles with the queue of possible collapses."""

    def __init__(self, vertices, faces, on_seam, cost_scale) -> None:
        self.vertices, self.on_seam = vertices, on_seam
        self.cost_scale = cost_scale
        self.faces = {i: tuple(map(int, f)) for i, f in enumerate(faces)}
        self.around = [set() for _ in vertices]
        for i, face in self.faces.items():
            for u in face:
                self.around[u].add(i)
        self.quadrics = _quadrics(vertices, faces)
        self.alive = np.ones(len(vertices), bool)
        self.stamp = np.zeros(len(vertices), int)
        self.heap: list[tuple[float, int, int, int]] = []

    def neighbors(self, u: int) -> set[int]:
        return {w for i in self.around[u] for w in self.faces[i]} - {u}

    def push(self, u: int) -> None:
        """Queue every collapse of ``u`` onto a neighbor."""
        for w in self.neighbors(u):
            if self.on_seam[u] and not self._along_seam(u, w):
                continue
            entry = (self._cost(u, w), u, w, int(self.stamp[u]))
            heapq.heappush(self.heap, entry)

    def _along_seam(self, u: int, w: int) -> bool:
        shared = self.around[u] & self.around[w]
        return bool(self.on_seam[w]) and len(shared) == 1

    def _cost(self, u: int, w: int) -> float:
        point = np.append(self.vertices[w], 1)
        quadric = self.quadrics[u] + self.quadrics[w]
        length2 = np.sum((self.vertices[u] - self.vertices[w]) ** 2)
        error = point @ quadric @ point + _LENGTH_PENALTY * length2**1.5
        return float(error * self.cost_scale[u])

    def can_collapse(self, u: int, w: int) -> bool:
        """Check that the surface stays manifold and no face flips."""
        shared = self.around[u] & self.around[w]
        common = self.neighbors(u) & self.neighbors(w)
        if not shared or len(common) != len(shared):
            return False
        return all(
            self._stays_sound(self.faces[i], u, w)
            for i in self.around[u] - shared
        )

    def _stays_sound(self, face, u: int, w: int) -> bool:
        before = self.vertices[list(face)]
        after = self.vertices[[w if x == u else x for x in face]]
        old = np.cross(before[1] - before[0], before[2] - before[0])
        new = np.cross(after[1] - after[0], after[2] - after[0])
        area = np.linalg.norm(new)
        longest2 = ((after - np.roll(after, 1, axis=0)) ** 2).sum(1).max()
        limit = _MIN_NORMAL_COSINE * np.linalg.norm(old) * area
        return (
            area > 1e-12
            and old @ new >= limit
            and area >= _MIN_SHAPE * longest2
        )

    def collapse(self, u: int, w: int) -> None:
        for i in self.around[u] & self.around[w]:
            for x in self.faces.pop(i):
                self.around[x].discard(i)
        for i in self.around[u]:
            face = self.faces[i]
            self.faces[i] = tuple(w if x == u else x for x in face)
            self.around[w].add(i)
        self.around[u] = set()
        self.alive[u] = False
        self.quadrics[w] += self.quadrics[u]


def _quadrics(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Area-weighted plane quadrics (V, 4, 4)."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    area = np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-15)
    normal = normal / area
    planes = np.c_[normal, -(normal * a).sum(1)]
    each = area[..., None] * planes[:, :, None] * planes[:, None, :]
    quadrics = np.zeros((len(vertices), 4, 4))
    for k in range(3):
        np.add.at(quadrics, faces[:, k], each)
    return quadrics
