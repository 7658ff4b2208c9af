# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Export of networks, with a comparison with the original."""

from __future__ import annotations

import io
import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.export import Dim

from aios.runtime.session import DESCRIPTION, OnnxError, make_session
from aios.utils.safe_io import atomic_write

from .network import DeployableNetwork

if TYPE_CHECKING:
    import onnxruntime

_INPUTS = ('images', 'sizes')
# Dynamic batch size, height and width.
_OPEN_SHAPES = (
    {0: Dim.DYNAMIC, 2: Dim.DYNAMIC, 3: Dim.DYNAMIC},
    {0: Dim.DYNAMIC},
)
# Batch and image sizes for the comparison; the first one, not a multiple of
# any stride, is traced.
_OPEN_EXAMPLES = ((2, (297, 517)), (1, (512, 341)), (3, (384, 384)))


class ExportError(OnnxError):
    """A package is missing, or results of the exported network differ."""


def example_inputs(
    size: tuple[int, int], batch_size: int = 1, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Images of random noise with padding.

    Args:
        size: ``(height, width)``.
        batch_size: ``B``.
        seed: Seed of the noise.

    Returns:
        Arguments of :class:`DeployableNetwork`.
    """
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(batch_size, 3, *size, generator=generator) * 255
    height, width = size
    sizes = torch.tensor([[height, width - width // 8]]).repeat(batch_size, 1)
    return images, sizes


def compare_outputs(
    expected: Sequence[Tensor],
    actual: Sequence[Tensor],
    names: Sequence[str],
    tolerance: float,
) -> dict[str, float]:
    """Largest absolute differences by output.

    Args:
        expected: Outputs of the original.
        actual: Outputs of the exported network.
        names: Names of the outputs.
        tolerance: Largest accepted difference.

    Raises:
        ExportError: If a difference is larger, or shapes differ.
    """
    differences = {}
    for name, one, other in zip(names, expected, actual, strict=True):
        if one.shape != other.shape:
            raise ExportError(
                f'{name}: shape {tuple(other.shape)}, expected '
                f'{tuple(one.shape)}'
            )
        difference = (one - other).abs().max() if one.numel() else one.sum()
        differences[name] = float(difference)
    wrong = {k: v for k, v in differences.items() if not v <= tolerance}
    if wrong:
        text = ', '.join(f'{k} by {v:.2e}' for k, v in wrong.items())
        raise ExportError(
            'the exported network differs from the original by more than '
            f'{tolerance}: {text}. With random weights candidates with '
            'nearly equal scores can swap places; use trained weights'
        )
    return differences


def export_onnx(
    network: DeployableNetwork,
    path: str | os.PathLike,
    size: tuple[int, int] | None,
    *,
    opset: int = 18,
    tolerance: float = 1e-3,
    description: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> dict[str, float]:
    """Write an ONNX file if ONNX Runtime and PyTorch agree.

    Args:
        network: The network.
        path: The file.
        size: ``(height, width)`` of the images, fixed in the file with a
            batch size of one; ``None`` for dynamic sizes.
        opset: Version of the operators, at least 18.
        tolerance: Largest accepted difference of the outputs.
        description: Stored in the file as JSON, see
            :func:`aios.runtime.read_description`.
        overwrite: Replace an existing file.

    Returns:
        Largest differences by output.

    Raises:
        ExportError: If a package is missing, or the results differ by more
            than the tolerance; then nothing is written.
        FileExistsError: If the file exists.
    """
    with atomic_write(path, overwrite) as stream:
        if size is None:
            examples = [example_inputs(x, n) for n, x in _OPEN_EXAMPLES]
        else:
            examples = [example_inputs(size)]
        content = _to_onnx(
            network, examples[0], size is None, opset, description or {}
        )
        session = make_session(content)
        differences: dict[str, float] = {}
        for inputs in examples:
            found = compare_outputs(
                network(*inputs),
                run_onnx(session, *inputs),
                network.output_names,
                tolerance,
            )
            for name, value in found.items():
                differences[name] = max(value, differences.get(name, 0.0))
        stream.write(content)
    return differences


def _to_onnx(
    network: DeployableNetwork,
    inputs: tuple[Tensor, Tensor],
    is_open: bool,
    opset: int,
    description: Mapping[str, Any],
) -> bytes:
    with needed_packages('onnx', 'onnxscript'):
        import onnx
        import onnxscript  # noqa: F401
    with _quietly():
        program = torch.onnx.export(
            network,
            inputs,
            dynamo=True,
            opset_version=opset,
            input_names=_INPUTS,
            output_names=network.output_names,
            dynamic_shapes=_OPEN_SHAPES if is_open else None,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    text = json.dumps(dict(description), sort_keys=True)
    onnx.helper.set_model_props(proto, {DESCRIPTION: text})
    return proto.SerializeToString()


def run_onnx(
    session: onnxruntime.InferenceSession, images: Tensor, sizes: Tensor
) -> tuple[Tensor, ...]:
    """Outputs of :class:`DeployableNetwork`, by ONNX Runtime.

    Args:
        session: See :func:`aios.runtime.make_session`.
        images: See :meth:`DeployableNetwork.forward`.
        sizes: See :meth:`DeployableNetwork.forward`.
    """
    inputs = dict(zip(_INPUTS, (images, sizes), strict=True))
    values = {name: x.numpy(force=True) for name, x in inputs.items()}
    outputs = session.run(None, values)
    return tuple(torch.from_numpy(np.asarray(x)) for x in outputs)


def export_program(
    network: DeployableNetwork,
    path: str | os.PathLike,
    size: tuple[int, int],
    *,
    tolerance: float = 1e-3,
    overwrite: bool = False,
) -> dict[str, float]:
    """Write a ``.pt2`` file of :func:`torch.export.export`.

    :func:`torch.export.load` reads it without this package.

    Args:
        network: The network.
        path: The file.
        size: ``(height, width)`` of the images, fixed in the file.
        tolerance: Largest accepted difference of the outputs.
        overwrite: Replace an existing file.

    Returns:
        Largest differences by output, of the program after saving and
        loading.

    Raises:
        ExportError: If the results differ by more than the tolerance; then
            nothing is written.
        FileExistsError: If the file exists.
    """
    with atomic_write(path, overwrite) as stream:
        inputs = example_inputs(size)
        buffer = io.BytesIO()
        with _quietly():
            torch.export.save(torch.export.export(network, inputs), buffer)
            buffer.seek(0)
            program = torch.export.load(buffer).module()
        differences = compare_outputs(
            network(*inputs),
            program(*inputs),
            network.output_names,
            tolerance,
        )
        stream.write(buffer.getbuffer())
    return differences


@contextmanager
def needed_packages(*names: str) -> Iterator[None]:
    """Convert errors of imports to errors with installation advice.

    Args:
        *names: Packages.

    Raises:
        ExportError: Instead of an ImportError.
    """
    try:
        yield
    except ImportError as error:
        raise ExportError(
            f'{error}: pip install {" ".join(names)} '
            '(requirements/optional.txt)'
        ) from error


@contextmanager
def quiet_loggers(*names: str) -> Iterator[None]:
    """Set loggers to the level of errors.

    Args:
        *names: Names of the loggers; empty for the root.
    """
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _quietly() -> Iterator[None]:
    """Suppress warnings that exporters cause themselves."""
    with (
        quiet_loggers('onnx_ir', 'onnxscript', 'torch.onnx'),
        torch.no_grad(),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter('ignore')
        yield
