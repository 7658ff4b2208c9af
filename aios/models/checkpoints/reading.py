# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Reading of checkpoint files without executing code from them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmengine.logging import print_log
from torch import Tensor

from aios.utils.pickle_records import UnsafeFileError

from .archive import read_archive


class CheckpointError(ValueError):
    """A checkpoint cannot be read, or has wrong content."""


@contextmanager
def errors_name(path: str | os.PathLike) -> Iterator[None]:
    """Let messages of :class:`CheckpointError` begin with the file."""
    try:
        yield
    except CheckpointError as error:
        name = f'{path}: '
        text = str(error).removeprefix(name)
        raise CheckpointError(name + text) from error


def read_checkpoint(
    path: str | os.PathLike, map_location: Any = 'cpu'
) -> dict[str, Any]:
    """Read a file of :func:`torch.save` or safetensors as data.

    Training scripts also store other objects, such as their command line.
    Objects that are not data are replaced by :class:`IgnoredObject`, and
    their types are logged.  MMEngine's ``Config`` and ``ConfigDict`` become
    plain dictionaries.

    Args:
        path: The file.
        map_location: See :func:`torch.load`.

    Returns:
        Its content.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: The file is damaged, not a checkpoint, or not only
            data. Nothing from it was executed.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such checkpoint file')
    try:
        if path.suffix == '.safetensors':
            return _read_safetensors(path, map_location)
        content, ignored = read_archive(path, map_location)
    except UnsafeFileError as error:
        raise CheckpointError(
            f'{path}: refused, {error}. Checkpoints may contain tensors, '
            'numbers, text, NumPy arrays, MMEngine histories and containers '
            'of them. No code of the file was executed. If you trust its '
            'source, load it there and save only the weights'
        ) from error
    except Exception as error:  # of any type, if bytes are damaged
        reason = f'{type(error).__name__}: {error}'.splitlines()[0][:300]
        raise CheckpointError(
            f'{path}: damaged or not a checkpoint ({reason})'
        ) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f'{path}: must be a dict, got {type(content).__name__}'
        )
    if ignored:
        print_log(
            f'{path}: ignored objects of the types '
            f'{", ".join(sorted(ignored)[:20])}',
            'current',
        )
    return dict(content)


def _read_safetensors(path: Path, map_location: Any) -> dict[str, Any]:
    from safetensors import safe_open

    device = str(map_location or 'cpu')
    with safe_open(path, 'pt', device=device) as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return dict(meta=file.metadata() or {}, state_dict=weights)


def select_weights(
    content: Mapping[str, Any], ema: bool = False
) -> dict[str, Tensor]:
    """Find the weights in the content of a checkpoint.

    They are ``state_dict`` (MMEngine), ``model`` (the published files), or the
    whole content. The prefix ``module.`` of wrapped models is removed.

    Args:
        content: Content of the file.
        ema: Take the exponential moving average of the weights instead,
            ``ema_state_dict`` or ``ema_model``.

    Returns:
        Tensors by name.

    Raises:
        CheckpointError: There are none, or a value is not a tensor.
    """
    places = (
        ('ema_state_dict', 'ema_model') if ema else ('state_dict', 'model')
    )
    weights: Any = content
    for place in places:
        if isinstance(content.get(place), Mapping):
            weights = content[place]
            break
    else:
        if ema:
            raise CheckpointError(
                'no averaged weights (ema_model or ema_state_dict); the '
                f'checkpoint has {", ".join(map(str, list(content)[:12]))}'
            )
    for name, value in weights.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f'{name!r} must be a tensor, got {type(value).__name__}; a '
                'checkpoint has its weights in "state_dict" or "model", or '
                'at the top level'
            )
    if not weights:
        raise CheckpointError('contains no weights')
    # MMEngine's averaged models also have a counter.
    names = [name for name in weights if name != 'steps']
    if all(name.startswith('module.') for name in names):
        return {name.removeprefix('module.'): weights[name] for name in names}
    return dict(weights)
