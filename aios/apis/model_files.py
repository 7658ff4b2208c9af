# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Find configs by name or in checkpoints, and load matching weights."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from torch import nn

import aios
from aios.models.checkpoints import (
    CheckpointError,
    load_checkpoint,
    parse_config,
    read_stored_config,
    select_weights,
)
from aios.registry import MODELS

OFFICIAL_CONFIG = 'aios_r50'
"""Config of the published checkpoint, which contains none."""


def list_models(pattern: str = '.*') -> list[str]:
    """Names of the configs that come with the package.

    Args:
        pattern: Regular expression from the beginning of the name.
    """
    return sorted(name for name in _configs() if re.match(pattern, name))


def find_config(name: str | os.PathLike) -> Path:
    """Find the file of a config.

    Args:
        name: A file, or a name of :func:`list_models`.

    Raises:
        FileNotFoundError: If it is neither.
    """
    path = Path(name)
    if path.is_file():
        return path
    configs = _configs()
    if str(name) not in configs:
        raise FileNotFoundError(
            f'{name}: neither a config file nor a model name; model names: '
            f'{", ".join(sorted(configs)) or "not installed"}'
        )
    return configs[str(name)]


def _configs() -> dict[str, Path]:
    """Configs of models in a checkout, or in the folder of MIM."""
    package = Path(aios.__file__).parent
    for root in (package.parent, package / '.mim'):
        if (root / 'configs/aios').is_dir():
            files = (root / 'configs/aios').glob('*.py')
            return {path.stem: path for path in files}
    return {}


def read_model_config(
    model: str | os.PathLike | Mapping | None,
    weights: str | os.PathLike | None,
    content: Mapping[str, Any] | None = None,
) -> Config:
    """Read the config of a model.

    Args:
        model: Config, file, or name of :func:`list_models`; default: the
            config in the checkpoint, and :data:`OFFICIAL_CONFIG` for the
            published one.
        weights: Checkpoint.
        content: Content of the checkpoint from :func:`load_weights`; read if
            needed.

    Raises:
        FileNotFoundError: If a file is missing.
        CheckpointError: If the checkpoint contains no config.
    """
    if isinstance(model, (str, os.PathLike)):
        return _read_config_file(find_config(model))
    if model is not None:
        fields = model._cfg_dict if isinstance(model, Config) else model
        return Config(dict(fields))
    if weights is None:
        raise ValueError(
            'give a model (a config file, or a name of '
            'AiOSInferencer.list_models()), weights, or both'
        )
    meta = (content or load_weights(weights)).get('meta') or {}
    if isinstance(meta.get('cfg'), str):
        fields = parse_config(meta['cfg'], str(weights))
        return Config(read_stored_config(fields, weights))
    if set(meta) == {'source'}:  # converted while it was read
        return Config.fromfile(find_config(OFFICIAL_CONFIG))
    raise CheckpointError(
        f'{weights}: the checkpoint contains no config; give the config it '
        'was trained with'
    )


def _read_config_file(path: Path) -> Config:
    try:
        config = Config.fromfile(path)
    except Exception as error:  # a config is a program
        raise ValueError(
            f'{path}: not a valid config ({type(error).__name__}: {error})'
        ) from error
    if 'model' not in config:
        raise ValueError(f'{path}: the config has no model')
    return config


def build_model(
    config: Config,
    weights: str | os.PathLike | None,
    device: str = 'cpu',
    content: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Build a detector with its weights for inference.

    Args:
        config: With ``model``.
        weights: Checkpoint of MMEngine, or the published one.
        device: Device of the model.
        content: Content of the checkpoint from :func:`load_weights`; read if
            needed.

    Raises:
        ValueError: If there are no weights, or the model cannot be built.
        CheckpointError: If the weights do not match the model: a name is
            missing, or a shape differs.
    """
    if weights is None:
        raise ValueError('no weights are given; set a checkpoint')
    content = content or load_weights(weights)
    model = _build(config)
    try:
        state_dict = select_weights(content)
        _check_names(model, state_dict)
        model.load_state_dict(state_dict, strict=False)
    except (CheckpointError, RuntimeError) as error:
        raise CheckpointError(
            f'{weights} does not fit {_named(config)}: {error}'
        ) from error
    model.cfg = config
    return model.to(device).eval()


def _build(config: Config) -> nn.Module:
    try:
        with DefaultScope.overwrite_default_scope('aios'):
            return MODELS.build(config.model)
    except Exception as error:  # modules may raise anything
        raise ValueError(
            f'{_named(config)}: the model cannot be built: {error}'
        ) from error


def _named(config: Config) -> str:
    return f'the config {getattr(config, "filename", None) or "given"}'


def check_device(device: str) -> None:
    """Check that a device can be used.

    Args:
        device: Its name in PyTorch.

    Raises:
        ValueError: If it cannot be used.
    """
    try:
        torch.empty(0, device=device)
    except (AssertionError, RuntimeError) as error:
        reason = str(error).partition('\n')[0]
        if device.partition(':')[0] == 'mps':
            # PyTorch's message lists the backends of an internal operator.
            reason = 'PyTorch finds no Metal on this machine'
        raise ValueError(
            f'device {device!r} is not available ({reason}); use cpu'
        ) from error


def load_weights(weights: str | os.PathLike) -> dict[str, Any]:
    """Read a checkpoint.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If it is damaged or holds more than data.
    """
    if '://' not in str(weights) and not Path(weights).is_file():
        raise FileNotFoundError(f'{weights}: no such checkpoint')
    return load_checkpoint(str(weights), 'cpu')


def _check_names(
    model: nn.Module, state_dict: Mapping[str, torch.Tensor]
) -> None:
    """Raise if weights are missing, which would be left random."""
    expected = model.state_dict()
    missing = [
        name
        for name in expected
        if name not in state_dict and not _is_for_training(name)
    ]
    if not missing:
        return
    unexpected = [name for name in state_dict if name not in expected]
    text = (
        f'{len(missing)} of {len(expected)} tensors of the model are not in '
        f'it ({_some(missing)})'
    )
    if unexpected:
        text += f', and it has {len(unexpected)} others ({_some(unexpected)})'
    raise CheckpointError(
        f'{text}; use the config the checkpoint was trained with'
    )


def _is_for_training(name: str) -> bool:
    return 'num_batches_tracked' in name or name.startswith('dn_query')


def _some(names: list[str]) -> str:
    return ', '.join(names[:3]) + (', ...' if len(names) > 3 else '')
