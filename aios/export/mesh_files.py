# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Write meshes as ``.obj`` and ``.ply`` files."""

from __future__ import annotations

import os

import numpy as np

from aios.structures import Mesh
from aios.utils.safe_io import atomic_write

_VERTEX = np.dtype([('position', '<f4', 3), ('color', 'u1', 3)])
_FACE = np.dtype([('count', 'u1'), ('corners', '<i4', 3)])
_HEADER = """ply
format binary_little_endian 1.0
element vertex {vertices}
property float x
property float y
property float z
property uchar red
property uchar green
property uchar blue
element face {faces}
property list uchar int vertex_indices
end_header
"""


def write_obj(
    mesh: Mesh, path: str | os.PathLike, overwrite: bool = False
) -> None:
    """Write a mesh as Wavefront ``.obj``; colors are left out.

    Axes and units do not change; coordinates are rounded to 0.1 mm.

    Args:
        mesh: The mesh.
        path: The file. Missing folders are made.
        overwrite: Replace an existing file.

    Raises:
        FileExistsError: If the file exists and ``overwrite`` is False.
    """
    # One format for all rows: 25 ms for a body, 93 ms with np.savetxt.
    vertices, faces = mesh.vertices.ravel(), mesh.faces.ravel() + 1
    text = 'v %.4f %.4f %.4f\n' * len(mesh.vertices) % (*vertices.tolist(),)
    text += 'f %d %d %d\n' * len(mesh.faces) % (*faces.tolist(),)
    with atomic_write(path, overwrite=overwrite) as stream:
        stream.write(text.encode('ascii'))


def write_ply(
    mesh: Mesh, path: str | os.PathLike, overwrite: bool = False
) -> None:
    """Write a mesh as binary ``.ply``; a third of the size of ``.obj``.

    Axes and units do not change; coordinates keep full precision.

    Args:
        mesh: The mesh.
        path: The file. Missing folders are made.
        overwrite: Replace an existing file.

    Raises:
        FileExistsError: If the file exists and ``overwrite`` is False.
    """
    vertices = np.empty(len(mesh.vertices), _VERTEX)
    vertices['position'] = mesh.vertices
    vertices['color'] = np.round(255 * mesh.colors)
    faces = np.empty(len(mesh.faces), _FACE)
    faces['count'] = 3
    faces['corners'] = mesh.faces
    header = _HEADER.format(vertices=len(vertices), faces=len(faces))
    with atomic_write(path, overwrite=overwrite) as stream:
        stream.write(header.encode('ascii'))
        stream.write(vertices.tobytes())
        stream.write(faces.tobytes())
