# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Export of the network: ONNX and ``torch.export``.

Files include everything between pixels and the predictions of the last decoder
layer.  :func:`aios.models.heads.decode_instances` selects and poses persons:
the license of SMPL-X does not allow its arrays in a file, and thresholds can
be set at run time.
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
