# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Inference without PyTorch and OpenMMLab (``docs/en/runtime.md``).

ONNX Runtime or OpenVINO run an ONNX file of ``python -m aios export``; persons
are selected and posed with NumPy.  :class:`aios.apis.OnnxInferencer` reads
images and videos; the demos use it with ``--runtime``.
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
