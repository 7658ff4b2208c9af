# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The network without Python: ONNX and ``torch.export``.

What is exported is everything between pixels and the predictions of the last
decoder layer.  Choosing persons and posing their bodies is left to
:func:`aios.models.heads.decode_instances`: the licence of SMPL-X does not
allow to give its arrays away inside a file, and thresholds can still be
chosen.
"""

from .export import (
    ExportError,
    compare_outputs,
    export_onnx,
    export_program,
    run_onnx,
)
from .network import DeployableNetwork, pack_outputs
from .quantization import quantize_convolutions

__all__ = [
    'DeployableNetwork',
    'ExportError',
    'compare_outputs',
    'export_onnx',
    'export_program',
    'pack_outputs',
    'quantize_convolutions',
    'run_onnx',
]
