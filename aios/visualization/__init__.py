# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Pictures of people: meshes, skeletons, boxes, contact sheets."""

from .body_mesher import BodyMesher
from .drawing import contact_sheet, draw_boxes, draw_label, draw_skeleton
from .local_visualizer import WholeBodyVisualizer, write_image
from .mesh import Mesh, vertex_normals
from .obj import write_obj
from .overlay import OVERLAY_LAYERS, OverlayDrawer, OverlayOptions
from .overlay_writer import OverlayWriter
from .palette import instance_color, joint_colors
from .rasterizer import RenderResult, render_meshes
from .video_file import VideoFile
from .views import VIEWS, SceneView

__all__ = [
    'OVERLAY_LAYERS',
    'VIEWS',
    'BodyMesher',
    'Mesh',
    'OverlayDrawer',
    'OverlayOptions',
    'OverlayWriter',
    'RenderResult',
    'SceneView',
    'VideoFile',
    'WholeBodyVisualizer',
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
