# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Inference without PyTorch and OpenMMLab (``docs/en/runtime.md``).

An ONNX file of ``python -m aios export`` finds persons with ONNX Runtime or
OpenVINO; NumPy chooses and poses them.  :class:`aios.apis.OnnxInferencer`
reads images and videos and is what the demos use with ``--runtime``.
"""

from .detector import RUNTIMES, OnnxDetector
from .openvino_session import DTYPES
from .session import OnnxError, make_session, read_description

__all__ = [
    'DTYPES',
    'RUNTIMES',
    'OnnxDetector',
    'OnnxError',
    'make_session',
    'read_description',
]
