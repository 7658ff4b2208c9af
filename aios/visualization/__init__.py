# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Draw persons: meshes, skeletons, boxes, contact sheets.

:mod:`aios.visualization.local_visualizer` draws data samples and needs
MMEngine.
"""

from .drawing import contact_sheet, draw_boxes, draw_label, draw_skeleton
from .image_file import write_image
from .overlay import OVERLAY_LAYERS, OverlayDrawer, OverlayOptions
from .overlay_writer import OverlayWriter
from .palette import joint_colors
from .rasterizer import RenderResult, render_meshes
from .video_file import VideoFile
from .views import VIEWS, SceneView

__all__ = [
    'OVERLAY_LAYERS',
    'VIEWS',
    'OverlayDrawer',
    'OverlayOptions',
    'OverlayWriter',
    'RenderResult',
    'SceneView',
    'VideoFile',
    'contact_sheet',
    'draw_boxes',
    'draw_label',
    'draw_skeleton',
    'joint_colors',
    'render_meshes',
    'write_image',
]
