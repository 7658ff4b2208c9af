# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Images of persons: meshes, skeletons, boxes, contact sheets.

What draws data samples needs MMEngine and is imported when first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .drawing import contact_sheet, draw_boxes, draw_label, draw_skeleton
from .image_file import write_image
from .overlay import OVERLAY_LAYERS, OverlayDrawer, OverlayOptions
from .overlay_writer import OverlayWriter
from .palette import joint_colors
from .rasterizer import RenderResult, render_meshes
from .video_file import VideoFile
from .views import VIEWS, SceneView

if TYPE_CHECKING:
    from .body_mesher import BodyMesher
    from .local_visualizer import WholeBodyVisualizer

__all__ = [
    'OVERLAY_LAYERS',
    'VIEWS',
    'BodyMesher',
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
    'joint_colors',
    'render_meshes',
    'write_image',
]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        for module in ('body_mesher', 'local_visualizer'):
            found = import_module(f'.{module}', __name__)
            if name in found.__all__:
                return getattr(found, name)
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
