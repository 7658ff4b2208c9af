# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Pictures of people: meshes, skeletons, boxes, contact sheets."""

from .body_mesher import BodyMesher
from .drawing import contact_sheet, draw_boxes, draw_label, draw_skeleton
from .local_visualizer import WholeBodyVisualizer, write_image
from .mesh import Mesh, vertex_normals
from .obj import write_obj
from .palette import instance_color, joint_colors
from .rasterizer import RenderResult, available_rasterizers, render_meshes

__all__ = [
    'BodyMesher',
    'Mesh',
    'RenderResult',
    'WholeBodyVisualizer',
    'available_rasterizers',
    'contact_sheet',
    'draw_boxes',
    'draw_label',
    'draw_skeleton',
    'instance_color',
    'joint_colors',
    'render_meshes',
    'vertex_normals',
    'write_image',
    'write_obj',
]
