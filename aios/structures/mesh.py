# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Triangle meshes in camera coordinates, and their vertex normals.

Symbols: ``V`` vertices, ``F`` faces.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import sparse

DEFAULT_COLOR = (0.65, 0.74, 0.86)


@dataclass(frozen=True)
class Mesh:
    """A triangle mesh seen by a camera.

    Anything that :func:`numpy.asarray` understands is accepted and stored
    with the types below.

    Args:
        vertices (np.ndarray): (V, 3) float32 positions in meters, OpenCV
            camera axes (x right, y down, z forward).
        faces (np.ndarray): (F, 3) int32 vertex indices. Seen from outside the
            surface the corners run counter-clockwise, as in SMPL-X; shading
            depends on it, visibility does not.
        colors (np.ndarray): (3,) or (V, 3) float32 RGB in [0, 1].

    Raises:
        ValueError: If a shape, an index, a color or a coordinate is not as
            described above.
    """

    vertices: np.ndarray
    faces: np.ndarray
    colors: np.ndarray = DEFAULT_COLOR  # type: ignore[assignment]

    def __post_init__(self) -> None:
        vertices = _float_array('vertices', self.vertices)
        if vertices.ndim != 2 or vertices.shape[1] != 3:
            raise ValueError(
                f'Mesh.vertices must have shape (V, 3), got {vertices.shape}'
            )
        colors = _float_array('colors', self.colors)
        if colors.shape not in ((3,), vertices.shape):
            raise ValueError(
                'Mesh.colors must have shape (3,) or (V, 3) = '
                f'{vertices.shape}, got {colors.shape}'
            )
        if colors.size and not 0 <= colors.min() <= colors.max() <= 1:
            raise ValueError(
                'Mesh.colors must lie in [0, 1], got '
                f'[{colors.min():g}, {colors.max():g}]'
            )
        object.__setattr__(self, 'vertices', vertices)
        object.__setattr__(self, 'colors', colors)
        object.__setattr__(
            self, 'faces', _face_array(self.faces, len(vertices))
        )


def vertex_normals(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Unit vertex normals, each the area-weighted mean of its faces' normals.

    Args:
        vertices (np.ndarray): (V, 3) positions.
        faces (np.ndarray): (F, 3) vertex indices, counter-clockwise seen from
            outside.

    Returns:
        np.ndarray: (V, 3) float32. Vertices that no face with an area uses
        get (0, 0, 0).
    """
    vertices = np.asarray(vertices, np.float32)
    faces = np.ascontiguousarray(faces, np.int32)
    if not len(faces):
        return np.zeros_like(vertices)
    # Coordinates as the first axis are faster than points as the first axis.
    points = np.take(np.ascontiguousarray(vertices.T), faces.T, axis=1)
    a, b, c = points.swapaxes(0, 1)
    u, v = b - a, c - a
    # np.cross gives the same result three times slower.
    face_normals = np.stack(
        [
            u[1] * v[2] - u[2] * v[1],
            u[2] * v[0] - u[0] * v[2],
            u[0] * v[1] - u[1] * v[0],
        ],
        axis=1,
    )
    incidence = _incidence(faces.tobytes(), len(vertices))
    normals = incidence @ face_normals
    length = np.sqrt(np.einsum('vi,vi->v', normals, normals))
    return normals / np.maximum(length, 1e-20)[:, None]


@lru_cache(maxsize=8)
def _incidence(faces: bytes, num_vertices: int) -> sparse.csr_matrix:
    """(V, F) matrix, 1 where a face touches a vertex.

    The key is the content of ``faces``, not its address: hashing costs 0.1 ms
    for a body and the matrix can never be stale.
    """
    index = np.frombuffer(faces, np.int32)
    num_faces = len(index) // 3
    columns = np.repeat(np.arange(num_faces, dtype=np.int32), 3)
    ones = np.ones(len(index), np.float32)
    return sparse.csr_matrix(
        (ones, (index, columns)), shape=(num_vertices, num_faces)
    )


def _float_array(name: str, value: object) -> np.ndarray:
    try:
        array = np.ascontiguousarray(value, np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f'Mesh.{name} must be numbers: {error}') from error
    if not np.isfinite(array).all():
        bad = int(np.flatnonzero(~np.isfinite(array))[0])
        raise ValueError(
            f'Mesh.{name} must be finite, the first bad value is at flat '
            f'index {bad}'
        )
    return array


def _face_array(value: object, num_vertices: int) -> np.ndarray:
    faces = np.asarray(value)
    if faces.size == 0:
        return np.zeros((0, 3), np.int32)
    if faces.ndim != 2 or faces.shape[1] != 3:
        raise ValueError(
            f'Mesh.faces must have shape (F, 3), got {faces.shape}'
        )
    if faces.dtype.kind not in 'iu':
        raise ValueError(f'Mesh.faces must be integers, got {faces.dtype}')
    if faces.min() < 0 or faces.max() >= num_vertices:
        raise ValueError(
            f'Mesh.faces must index {num_vertices} vertices, got indices from '
            f'{faces.min()} to {faces.max()}'
        )
    return np.ascontiguousarray(faces, np.int32)
