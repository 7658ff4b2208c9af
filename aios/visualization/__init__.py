# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Pictures of people: meshes, skeletons, boxes, contact sheets."""

from aios.visualization.mesh import Mesh, vertex_normals
from aios.visualization.rasterizer import (
    RenderResult,
    available_rasterizers,
    render_meshes,
)

__all__ = [
    'Mesh',
    'RenderResult',
    'available_rasterizers',
    'render_meshes',
    'vertex_normals',
]
