# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Export a config and a checkpoint to an ONNX file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from aios.deploy import DeployableNetwork, export_onnx
from aios.models import AiOS
from aios.registry import register_all_modules
from aios.runtime.session import OPTIONS
from aios.utils.command_line import set_options
from aios.utils.digests import file_sha256
from aios.utils.openmmlab import type_name
from aios.utils.shipped import SHIPPED_MODEL, shipped_weights
from aios.version import __version__

from .model_files import build_model, read_model_config
from .preparation import find_pipeline


def describe_model(
    config: Mapping[str, Any],
    weights: str | os.PathLike,
    size: tuple[int, int] | None,
) -> dict[str, Any]:
    """Metadata of an exported file.

    Args:
        config: Config of the detector.
        weights: Its checkpoint.
        size: ``(height, width)`` of its images; ``None`` for any.

    Returns:
        See :func:`aios.runtime.read_description`.

    Raises:
        ValueError: If the config's test pipeline does not resize.
    """
    steps = find_pipeline(config)
    names = [type_name(step) for step in steps]
    resizes = [
        step
        for step, name in zip(steps, names, strict=True)
        if name == 'WholeBodyResize'
    ]
    if len(resizes) != 1:
        raise ValueError(
            'the test pipeline of the config must have exactly one '
            f'WholeBodyResize, got {names}'
        )
    body = config['model']['bbox_head'].get('body_model') or {}
    return dict(
        aios_version=__version__,
        model=Path(getattr(config, 'filename', None) or '').stem,
        weights=file_sha256(weights) if Path(weights).is_file() else '',
        size=size,
        **{
            name: {k: v for k, v in options.items() if k in OPTIONS[name]}
            for name, options in (('resize', resizes[0]), ('body_model', body))
        },
        test_cfg=dict(config['model'].get('test_cfg') or {}),
    )


def export_model(
    path: str | os.PathLike,
    model: str | os.PathLike | None = None,
    weights: str | os.PathLike | None = None,
    size: tuple[int, int] | None = None,
    *,
    cfg_options: Mapping[str, Any] | None = None,
    opset: int = 18,
    tolerance: float = 1e-3,
    overwrite: bool = False,
) -> dict[str, float]:
    """Export a detector to an ONNX file, and check it with ONNX Runtime.

    Args:
        path: The file.
        model: Config file or name of a model; default: the one stored in
            the checkpoint.
        weights: Checkpoint; without both: ``aios_s``.
        size: ``(height, width)`` of a file with fixed size and batch size 1;
            ``None`` makes all three dynamic.
        cfg_options: Values to set in the config, by dotted name.
        opset: See :func:`aios.deploy.export_onnx`.
        tolerance: See :func:`aios.deploy.export_onnx`.
        overwrite: Replace an existing file.

    Returns:
        Largest differences from PyTorch by output.

    Raises:
        ExportError: If a package is missing, or results differ.
        FileExistsError: If the file exists.
        FileNotFoundError: If a file is missing.
        ValueError: If config and checkpoint do not match.
    """
    register_all_modules()
    if weights is None and model in (None, SHIPPED_MODEL):
        model, weights = None, shipped_weights()
    config = read_model_config(model, weights)
    set_options(config, cfg_options)
    network = DeployableNetwork(cast(AiOS, build_model(config, weights)))
    assert weights is not None  # checked by build_model
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return export_onnx(
        network,
        path,
        size,
        opset=opset,
        tolerance=tolerance,
        description=describe_model(config, weights, size),
        overwrite=overwrite,
    )
