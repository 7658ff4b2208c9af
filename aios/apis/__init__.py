# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""From pictures and videos to people (docs/en/inference.md)."""

from .cameras import CameraModel, change_camera, load_intrinsics
from .inferencer import AiOSInferencer, frame_as_dict
from .model_files import list_models
from .sources import Frame, FrameSource, open_sources

__all__ = [
    'AiOSInferencer',
    'CameraModel',
    'Frame',
    'FrameSource',
    'change_camera',
    'frame_as_dict',
    'list_models',
    'load_intrinsics',
    'open_sources',
]
