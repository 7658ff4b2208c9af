# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Loading of weights, with checks and conversion of official files."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import torch
from mmengine.logging import print_log
from mmengine.runner.checkpoint import CheckpointLoader
from torch import Tensor, nn

from .conversion import convert, is_official
from .downloads import REMOTE_PREFIXES, fetch
from .reading import (
    CheckpointError,
    errors_name,
    read_checkpoint,
    select_weights,
)


def load_checkpoint(
    filename: str, map_location: Any = 'cpu'
) -> dict[str, Any]:
    """Read a checkpoint for MMEngine.

    Unlike MMEngine's readers, it never executes code in the file, converts
    files of the published AiOS or ED-Pose, and moves bare weights
    (``torch.save(model.state_dict(), ...)``) to ``state_dict``.
    ``meta['config']``, a text that ``Runner.resume`` would execute, is left
    out.

    Args:
        filename: The file, a URL, or a name such as ``torchvision://resnet50``
            (see :func:`~aios.models.checkpoints.downloads.fetch`).
        map_location: See :func:`torch.load`.

    Returns:
        Content of the file, with ``state_dict``; for an official file only
        that (its ``model``, not the averaged weights) and ``meta``.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: The file is damaged, or an official one with wrong
            tensors.
    """
    content = read_checkpoint(fetch(filename), map_location)
    meta = content.get('meta')
    if isinstance(meta, dict) and 'config' in meta:
        content['meta'] = {k: v for k, v in meta.items() if k != 'config'}
    weights = content.get('model', content)
    if not isinstance(weights, dict) or not _looks_official(weights):
        is_bare = all(isinstance(value, Tensor) for value in content.values())
        return dict(state_dict=content) if content and is_bare else content
    with errors_name(filename):
        state_dict = _convert(select_weights(content), str(filename))
    return dict(meta=dict(source=str(filename)), state_dict=state_dict)


def install_loader() -> None:
    """Let MMEngine read all checkpoints with :func:`load_checkpoint`.

    In this process, this applies to ``load_from``, ``resume`` and
    ``init_cfg`` of configs. ``tools/train.py``, ``tools/test.py`` and
    :class:`~aios.engine.hooks.DataOnlyLoadingHook` call it.
    """
    CheckpointLoader.register_scheme(
        prefixes=('', *REMOTE_PREFIXES), loader=load_checkpoint, force=True
    )


def check_state_dict(
    model: nn.Module, state_dict: MutableMapping[str, Tensor], prefix: str = ''
) -> None:
    """Reject weights that do not fit; convert official ones in place.

    For ``_load_from_state_dict`` of the whole model: MMEngine only logs
    mismatches and continues with random weights.

    Args:
        model: The model.
        state_dict: Tensors by name, changed if the names are official.
        prefix: Prefix of the names of this model.

    Raises:
        CheckpointError: No name matches, a shape differs, or a value is not
            finite.
    """
    names = [name for name in state_dict if name.startswith(prefix)]
    if _looks_official(name.removeprefix(prefix) for name in names):
        official = {
            name.removeprefix(prefix): state_dict[name] for name in names
        }
        converted = _convert(official, 'the given state dict')
        for name in names:
            del state_dict[name]
        state_dict.update(
            {prefix + name: tensor for name, tensor in converted.items()}
        )
    expected = {prefix + key: v for key, v in model.state_dict().items()}
    common = [name for name in expected if name in state_dict]
    if names and not common:
        raise CheckpointError(
            f'weights of another network: {names[0]} and {len(names) - 1} '
            f'more are not in {type(model).__name__}, which has '
            f'{next(iter(expected))} etc.'
        )
    for name in common:
        _check_fits(name, state_dict[name], expected[name])


def _check_fits(name: str, tensor: Tensor, expected: Tensor) -> None:
    if tensor.shape != expected.shape:
        raise CheckpointError(
            f'{name} has shape {tuple(tensor.shape)} in the checkpoint and '
            f'{tuple(expected.shape)} in the model; use the config of the '
            'checkpoint, or remove the tensor from it'
        )
    if tensor.is_floating_point() and not torch.isfinite(tensor).all():
        raise CheckpointError(
            f'{name} holds NaN or infinite values in the checkpoint'
        )


def _looks_official(names: Any) -> bool:
    return is_official(str(name).removeprefix('module.') for name in names)


def _convert(weights: dict[str, Tensor], source: str) -> dict[str, Tensor]:
    conversion = convert(select_weights(weights))
    text = (
        f'{source} is an official {conversion.network} checkpoint; its '
        f'{len(conversion.state_dict)} tensors were renamed while loading '
        '(tools/model_converters/aios_to_mm.py converts the file).'
    )
    if conversion.network == 'ED-Pose':
        text += (
            ' Branches of hands and faces and SMPL-X heads are not in it: '
            'they start from their initial values.'
        )
    print_log(text, 'current')
    return conversion.state_dict
