# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Inference: images and videos in, persons out (docs/en/inference.md).

What needs PyTorch is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .cameras import CameraModel, change_camera, load_intrinsics
from .frame_inferencer import FrameInferencer
from .job import Outputs, Summary, run_inference
from .onnx_inferencer import OnnxInferencer
from .post_processing import PostProcessing
from .sources import Frame, FrameSource, open_sources
from .store import load_partial

if TYPE_CHECKING:
    from .inferencer import AiOSInferencer, frame_as_dict
    from .model_files import list_models

__all__ = [
    'AiOSInferencer',
    'CameraModel',
    'Frame',
    'FrameInferencer',
    'FrameSource',
    'OnnxInferencer',
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

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in ('AiOSInferencer', 'frame_as_dict', 'list_models'):
            raise AttributeError(
                f'module {__name__!r} has no attribute {name!r}'
            )
        module = '.model_files' if name == 'list_models' else '.inferencer'
        return getattr(import_module(module, __name__), name)
