# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Inference: images and videos in, persons out (docs/en/inference.md)."""

from .cameras import CameraModel, change_camera, load_intrinsics
from .inferencer import AiOSInferencer, frame_as_dict
from .job import Outputs, Summary, run_inference
from .model_files import list_models
from .post_processing import PostProcessing
from .sources import Frame, FrameSource, open_sources
from .store import load_partial

__all__ = [
    'AiOSInferencer',
    'CameraModel',
    'Frame',
    'FrameSource',
    'Outputs',
    'PostProcessing',
    'Summary',
    'change_camera',
    'frame_as_dict',
    'list_models',
    'load_intrinsics',
    'load_partial',
    'open_sources',
    'run_inference',
]
