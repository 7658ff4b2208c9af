# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Meshes as files that every 3-D program reads."""

from __future__ import annotations

import os

import numpy as np

from aios.structures import Mesh
from aios.utils.safe_io import atomic_write

__all__ = ['write_obj']


def write_obj(
    mesh: Mesh, path: str | os.PathLike, overwrite: bool = False
) -> None:
    """Write a mesh as Wavefront ``.obj``; colours are left out.

    Coordinates keep their axes and metres, a tenth of a millimetre exact.

    Args:
        mesh (Mesh): What to write.
        path (str): The file. Missing folders are made.
        overwrite (bool): Replace an existing file.

    Raises:
        FileExistsError: If the file exists and ``overwrite`` is False.
    """
    with atomic_write(path, overwrite=overwrite) as stream:
        np.savetxt(stream, mesh.vertices, fmt='v %.4f %.4f %.4f')
        # The format counts from one.
        np.savetxt(stream, mesh.faces + 1, fmt='f %d %d %d')
