# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""8-bit quantization of the convolutions of an exported backbone.

Post-training quantization of ONNX Runtime: per-channel weights, activations
with ranges calibrated on example images.
"""

from __future__ import annotations

import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aios.utils.optional import disable_onnx_telemetry

from .export import ExportError, needed_packages, quiet_loggers

if TYPE_CHECKING:
    import onnx

_KINDS = ('Conv', 'Clip', 'Relu', 'Add')


def quantize_convolutions(
    content: bytes,
    layers: str,
    examples: Iterable[Mapping[str, np.ndarray]],
) -> bytes:
    """Quantize some convolutions of an ONNX file to 8-bit integers.

    Also quantizes the activations that follow and the sums of residual
    blocks.  All other nodes stay float32; dynamic sizes stay dynamic.

    Args:
        content: The file.
        layers: Regular expression, searched in the names of the weights.
        examples: Inputs by name for the calibration.

    Raises:
        ExportError: If a package is missing, or no convolution matches.
    """
    disable_onnx_telemetry()
    with needed_packages('onnx', 'onnxruntime'):
        import onnx
        from onnxruntime.quantization import (
            CalibrationDataReader,
            QuantType,
            quantize_static,
        )

    class Examples(CalibrationDataReader):
        def __init__(self) -> None:
            self.remaining = iter(examples)

        def get_next(self) -> Mapping[str, np.ndarray] | None:
            return next(self.remaining, None)

    model = onnx.load_from_string(content)
    _fuse_padding(model)
    nodes = _find_nodes(model, layers)
    if not nodes:
        raise ExportError(f'no convolution has weights named {layers!r}')
    # ONNX Runtime logs advice with the root logger.
    with tempfile.TemporaryDirectory() as folder, quiet_loggers(''):
        path = Path(folder) / 'quantized.onnx'
        quantize_static(
            model,
            path,
            Examples(),
            op_types_to_quantize=list(_KINDS),
            nodes_to_quantize=nodes,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        quantized = onnx.load(path)
    properties = {p.key: p.value for p in model.metadata_props}
    onnx.helper.set_model_props(quantized, properties)
    return quantized.SerializeToString()


def _fuse_padding(model: onnx.ModelProto) -> None:
    """Fuse padding nodes into convolutions.

    ONNX Runtime does the same, but not across inserted quantizers.
    """
    from onnx import numpy_helper

    graph = model.graph
    constants = {x.name: x for x in graph.initializer}
    readers = _readers(graph)
    padding = {x.output[0]: x for x in graph.node if x.op_type == 'Pad'}
    for node in [x for x in graph.node if x.op_type == 'Conv']:
        pad = padding.get(node.input[0])
        if pad is None or len(readers[pad.output[0]]) > 1:
            continue
        source, *parameters = pad.input
        if any(x and x not in constants for x in parameters):
            continue
        amounts, *value = [
            numpy_helper.to_array(constants[x]) for x in parameters if x
        ]
        begin, end = np.reshape(amounts, (2, -1))
        if (
            len(begin) != 4
            or np.any(value)
            or begin[:2].any()
            or end[:2].any()
        ):
            continue
        (own,) = (x for x in node.attribute if x.name == 'pads')
        own.ints[:] = (
            own.ints + np.concatenate([begin[2:], end[2:]])
        ).tolist()
        node.input[0] = source
        graph.node.remove(pad)


def _find_nodes(model: onnx.ModelProto, layers: str) -> list[str]:
    """Names of the convolutions and of the nodes that follow them."""
    chosen: set[str] = set()
    readers = _readers(model.graph)
    for node in model.graph.node:
        if node.op_type == 'Conv' and re.search(layers, node.input[1]):
            following = readers[node.output[0]]
            chosen |= {x.name for x in following if x.op_type in _KINDS}
            chosen.add(node.name)
    return sorted(chosen)


def _readers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """Nodes that read each value, by its name."""
    readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    return readers
