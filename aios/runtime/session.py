# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Open the ONNX files of :mod:`aios.deploy`."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from aios.structures.decoding import DecodingConfig
from aios.utils.optional import disable_onnx_telemetry

if TYPE_CHECKING:
    import onnxruntime

DESCRIPTION = 'aios'
"""Metadata key of the description of an ONNX file, in JSON."""

_MAX_SIDE = 1 << 14
OPTIONS = dict(
    resize=('scale', 'size_rounding', 'backend', 'enlarged_scale'),
    body_model=(
        *('model_path', 'gender', 'num_betas', 'num_expression_coeffs'),
        'flat_hand_mean',
    ),
)
"""Allowed options of a description."""


class OnnxError(RuntimeError):
    """The runtime is missing, or does not support the device."""


def make_session(
    model: str | os.PathLike | bytes,
    device: str = 'cpu',
    num_threads: int | None = None,
) -> onnxruntime.InferenceSession:
    """Open an ONNX file with ONNX Runtime.

    Args:
        model: The file, or its content.
        device: ``'cpu'``, ``'cuda'`` or ``'cuda:1'``.
        num_threads: Threads on the CPU; default: number of cores.

    Raises:
        OnnxError: If ONNX Runtime is missing, or does not support the device.
        ValueError: If the file is invalid.
    """
    disable_onnx_telemetry()
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise OnnxError(
            f'{error}: pip install onnxruntime (requirements/onnx.txt)'
        ) from error
    kind, _, number = device.partition(':')
    provider = f'{kind.upper()}ExecutionProvider'
    if provider not in ort.get_available_providers():
        raise OnnxError(
            f'this ONNX Runtime has no {provider}, only '
            f'{", ".join(ort.get_available_providers())} (onnxruntime-gpu '
            'provides CUDA)'
        )
    options = ort.SessionOptions()
    # Spinning threads would slow down reading and drawing.
    options.add_session_config_entry('session.intra_op.allow_spinning', '0')
    if num_threads is not None:
        options.intra_op_num_threads = num_threads
    source = model if isinstance(model, bytes) else os.fspath(model)
    choice = {'device_id': number} if number and kind != 'cpu' else {}
    try:
        session = ort.InferenceSession(
            source, options, providers=[(provider, choice)]
        )
    except Exception as error:  # the only common base class
        name = 'the exported network' if isinstance(model, bytes) else model
        raise ValueError(
            f'{name}: ONNX Runtime {ort.__version__} cannot read it: {error}'
        ) from error
    if provider not in session.get_providers():  # it would use the CPU
        raise OnnxError(
            f'ONNX Runtime cannot use the device {device}; its messages above '
            'say why'
        )
    return session


def read_description(
    session: onnxruntime.InferenceSession, path: str | os.PathLike
) -> dict[str, Any]:
    """Read the description of an exported file.

    Args:
        session: The open file.
        path: Its name, for messages.

    Returns:
        ``size``: height and width of the images, ``None`` for any;
        ``resize``: how images are resized, the arguments of
        :class:`aios.datasets.transforms.WholeBodyResize`; ``body_model``:
        the arguments of the body model; ``test_cfg``: see
        :class:`aios.models.heads.DecodingConfig`; ``model``: name of the
        model; ``weights``: SHA-256 of the weights; ``aios_version``.

    Raises:
        ValueError: If the file has no valid description.
    """
    text = session.get_modelmeta().custom_metadata_map.get(DESCRIPTION, '')
    try:
        description = json.loads(text)
        for name, known in OPTIONS.items():
            unknown = set(description[name]) - set(known)
            if unknown:
                raise ValueError(
                    f'{name}: has unknown names {sorted(unknown)}'
                )
        DecodingConfig(**description['test_cfg'])
        for name in ('scale', 'enlarged_scale'):
            long, short = map(int, description['resize'].get(name) or (2, 1))
            if min(long, short) < 1:
                raise ValueError(f'{name}: {long}, {short}')
        size = description['size']
        if size is not None:
            height, width = map(int, size)
            if not (0 < height <= _MAX_SIDE and 0 < width <= _MAX_SIDE):
                raise ValueError(f'a size of {height} x {width}')
            description['size'] = height, width
    except (
        KeyError,
        OverflowError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise ValueError(
            f'{path}: contains no description of an AiOS detector '
            f'({type(error).__name__}: {error}); export it with python -m '
            'aios export or tools/deployment/export_model.py'
        ) from error
    return dict(description)
