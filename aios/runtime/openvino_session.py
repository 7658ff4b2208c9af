# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Exported networks with OpenVINO instead of ONNX Runtime.

It is faster on Intel processors, and supports a backbone in bfloat16 (with
AMX or AVX512-BF16).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from .session import DESCRIPTION, OnnxError

if TYPE_CHECKING:
    import openvino

DTYPES = {'float32': 'f32', 'bfloat16': 'bf16'}
"""Names of dtypes in OpenVINO."""

_BACKBONE = '.backbone.'
_MAX_SHAPES = 4  # compiled networks that are cached


class OpenVINOSession:
    """The used part of the interface of ``onnxruntime.InferenceSession``.

    It compiles the network for each image shape, which takes seconds, and
    caches four of them, which suits videos and files with a fixed size.

    Args:
        path: A file of ``python -m aios export``.
        num_threads: Number of threads; default: number of cores.
        dtype: Type of the backbone, ``'float32'`` or ``'bfloat16'``; all other
            parts use float32, as bfloat16 coordinates have errors of pixels.

    Raises:
        OnnxError: If OpenVINO is missing, or the processor does not support
            bfloat16.
        ValueError: If the file is invalid.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        num_threads: int | None = None,
        dtype: str = 'float32',
    ) -> None:
        if dtype not in DTYPES:
            raise ValueError(
                f'dtype must be one of {", ".join(DTYPES)}, got {dtype!r}'
            )
        try:
            import openvino
        except ImportError as error:
            raise OnnxError(f'{error}: pip install openvino') from error
        self._core = openvino.Core()
        supported = self._core.get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
        if dtype == 'bfloat16' and 'BF16' not in supported:
            raise OnnxError(
                'this processor does not support bfloat16, only '
                f'{", ".join(supported)}; use float32'
            )
        try:
            self._model = self._core.read_model(os.fspath(path))
        except RuntimeError as error:
            raise ValueError(
                f'{path}: OpenVINO {openvino.__version__} cannot read it: '
                f'{error}'
            ) from error
        self._dtype = dtype
        self._options = {'PERFORMANCE_HINT': 'LATENCY'}
        if num_threads is not None:
            self._options['INFERENCE_NUM_THREADS'] = str(num_threads)
        self._compiled = lru_cache(_MAX_SHAPES)(self._compile)

    def get_outputs(self) -> list[Any]:
        """Names of the outputs."""
        return [
            SimpleNamespace(name=output.any_name)
            for output in self._model.outputs
        ]

    def get_modelmeta(self) -> Any:
        """Metadata of the file."""
        key = ['framework', DESCRIPTION]
        known = self._model.has_rt_info(key)
        text = self._model.get_rt_info(key).astype(str) if known else ''
        return SimpleNamespace(custom_metadata_map={DESCRIPTION: text})

    def run(
        self, _: None, inputs: Mapping[str, np.ndarray]
    ) -> list[np.ndarray]:
        """All outputs.

        Args:
            inputs: ``images`` and ``sizes`` of the network.
        """
        shapes = tuple((name, x.shape) for name, x in inputs.items())
        return self._compiled(shapes).run(inputs)

    def _compile(
        self, shapes: tuple[tuple[str, tuple[int, ...]], ...]
    ) -> _Stages:
        model = self._model.clone()
        model.reshape(dict(shapes))
        names = [output.any_name for output in model.outputs]
        if self._dtype == 'float32':
            return _Stages([self._open(model, 'float32')], names)
        backbone, rest = _split(model)
        stages = [(backbone, self._dtype), (rest, 'float32')]
        return _Stages([self._open(*stage) for stage in stages], names)

    def _open(
        self, model: openvino.Model, dtype: str
    ) -> openvino.InferRequest:
        options = self._options | {'INFERENCE_PRECISION_HINT': DTYPES[dtype]}
        compiled = self._core.compile_model(model, 'CPU', options)
        return compiled.create_infer_request()


class _Stages:
    """A chain of networks.

    Args:
        requests: Inference requests of the networks.
        names: Outputs of the last one.
    """

    def __init__(
        self, requests: Sequence[openvino.InferRequest], names: Sequence[str]
    ) -> None:
        self._requests = requests
        self._names = names
        self._lock = threading.Lock()  # requests serve one thread at a time
        for before, request in pairwise(requests):
            for i in range(len(before.model_outputs)):
                request.set_tensor(_link(i), before.get_output_tensor(i))

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        with self._lock:
            for request in self._requests:
                known = {x.any_name for x in request.model_inputs}
                own = {name: x for name, x in inputs.items() if name in known}
                request.infer(own, share_inputs=True)
            return [np.array(request.get_tensor(x).data) for x in self._names]


def _link(index: int) -> str:
    return f'from_backbone_{index}'


def _split(model: openvino.Model) -> tuple[openvino.Model, openvino.Model]:
    """Split a network, which is modified, into backbone and rest.

    Raises:
        ValueError: If no convolution has weights of a backbone.
    """
    import openvino as ov
    from openvino import opset13 as opset
    from openvino.passes import ConstantFolding, Manager

    folding = Manager()
    folding.register_pass(ConstantFolding())
    folding.run_passes(model)
    inside = _backbone_nodes(model)
    results: list[openvino.Node] = []
    parameters: list[openvino.Node] = []
    for output, readers in _edges_out_of(model, inside):
        parameter = opset.parameter(
            output.get_partial_shape(), output.get_element_type()
        )
        parameter.output(0).set_names({_link(len(parameters))})
        results.append(opset.result(output))
        parameters.append(parameter)
        for reader in readers:
            reader.replace_source_output(parameter.output(0))
    inputs = model.get_parameters()
    rest = [x for x in inputs if x.output(0).get_target_inputs()]
    return (
        ov.Model(results, inputs, 'backbone'),
        ov.Model(model.get_results(), [*rest, *parameters], 'rest'),
    )


def _backbone_nodes(model: openvino.Model) -> set[str]:
    """Names of the nodes between the images and backbone convolutions."""
    convolutions = [
        node
        for node in model.get_ops()
        if node.get_type_name() in ('Convolution', 'GroupConvolution')
        and _is_of_backbone(node.input(1).get_source_output().get_node())
    ]
    if not convolutions:
        raise ValueError(
            'bfloat16 needs a file of python -m aios export; no convolution '
            f'has weights named *{_BACKBONE}*'
        )
    images = model.input('images').get_node()
    needed = {x.get_name() for x in _reached(convolutions, _sources)}
    return needed & {x.get_name() for x in _reached([images], _readers)}


def _is_of_backbone(weights: openvino.Node) -> bool:
    sources = _reached([weights], _sources)
    return any(_BACKBONE in node.get_friendly_name() for node in sources)


def _sources(node: openvino.Node) -> list[openvino.Node]:
    return [x.get_source_output().get_node() for x in node.inputs()]


def _readers(node: openvino.Node) -> list[openvino.Node]:
    return [
        reader.get_node()
        for output in node.outputs()
        for reader in output.get_target_inputs()
    ]


def _reached(
    starts: Sequence[openvino.Node],
    neighbors: Callable[[openvino.Node], list[openvino.Node]],
) -> list[openvino.Node]:
    """All nodes reachable via ``neighbors``, including ``starts``."""
    reached = {node.get_name(): node for node in starts}
    stack = [*starts]
    while stack:
        for node in neighbors(stack.pop()):
            if node.get_name() not in reached:
                reached[node.get_name()] = node
                stack.append(node)
    return list(reached.values())


def _edges_out_of(
    model: openvino.Model, inside: set[str]
) -> Iterator[tuple[openvino.Output, list[openvino.Input]]]:
    """Outputs of nodes ``inside``, with their readers outside."""
    for node in model.get_ops():
        if (
            node.get_name() not in inside
            or node.get_type_name() == 'Parameter'
        ):
            continue
        for output in node.outputs():
            readers = [
                x
                for x in output.get_target_inputs()
                if x.get_node().get_name() not in inside
            ]
            if readers:
                yield output, readers
