# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Integers of 8 bits for the convolutions of an exported backbone.

Post-training quantisation by ONNX Runtime: weights by channel, activations
with the range that they have on example images.
"""

from __future__ import annotations

import re
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .export import ExportError, needed_packages, quiet_loggers

if TYPE_CHECKING:
    import onnx

_KINDS = ('Conv', 'Clip', 'Relu', 'Add')


def quantize_convolutions(
    content: bytes,
    layers: str,
    examples: Iterable[Mapping[str, np.ndarray]],
) -> bytes:
    """Let some convolutions of an ONNX file compute with integers.

    With them go the activations that follow, and the sums of their results
    (residual blocks).  Everything else stays float32.  Sizes that are open in
    the file stay open.

    Args:
        content: The file.
        layers: Regular expression, searched in the names of their weights.
        examples: Inputs of the file by name, on which ranges are measured.

    Raises:
        ExportError: If a package is missing, or no convolution has such a
            name.
    """
    with needed_packages('onnx', 'onnxruntime'):
        import onnx
        from onnxruntime.quantization import (
            CalibrationDataReader,
            QuantType,
            quantize_static,
        )

    class Examples(CalibrationDataReader):
        def __init__(self) -> None:
            self.waiting = iter(examples)

        def get_next(self) -> Mapping[str, np.ndarray] | None:
            return next(self.waiting, None)

    model = onnx.load_from_string(content)
    _fuse_padding(model)
    nodes = _find_nodes(model, layers)
    if not nodes:
        raise ExportError(f'no convolution has weights named {layers!r}')
    # ONNX Runtime gives its advice to the root logger.
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
    """Convolutions pad by themselves, as a quantised one otherwise cannot.

    ONNX Runtime does so, too, but not once there are quantisers in between.
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
    """Names of the convolutions and of what follows them."""
    chosen: set[str] = set()
    readers = _readers(model.graph)
    for node in model.graph.node:
        if node.op_type == 'Conv' and re.search(layers, node.input[1]):
            following = readers[node.output[0]]
            chosen |= {x.name for x in following if x.op_type in _KINDS}
            chosen.add(node.name)
    return sorted(chosen)


def _readers(graph: onnx.GraphProto) -> dict[str, list[onnx.NodeProto]]:
    """Which nodes read a value, by its name."""
    readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            readers[name].append(node)
    return readers
