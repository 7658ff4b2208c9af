# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Inference without PyTorch and OpenMMLab (``docs/en/runtime.md``).

An ONNX file of ``python -m aios export`` finds persons with ONNX Runtime;
NumPy chooses and poses them.  :class:`aios.apis.OnnxInferencer` reads images
and videos and is what the demos use with ``--runtime onnx``.
"""

from .detector import OnnxDetector
from .session import OnnxError, make_session, read_description

__all__ = ['OnnxDetector', 'OnnxError', 'make_session', 'read_description']
