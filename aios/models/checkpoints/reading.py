# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Reading checkpoint files without running code from them."""

from __future__ import annotations

import codecs
import os
import pickle
import pickletools
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer, print_log
from torch import Tensor, _weights_only_unpickler, serialization
from torch._utils import IMPORT_MAPPING, NAME_MAPPING

__all__ = ['CheckpointError', 'read_checkpoint', 'select_weights']


class CheckpointError(ValueError):
    """A checkpoint cannot be read, or is not what it should be."""


class _Ignored:
    """Takes the place of an object that has nothing to do with weights."""

    def __new__(cls, *args: Any) -> _Ignored:
        return object.__new__(cls)

    def __init__(self, *args: Any) -> None:
        """Take arguments and forget them."""

    def __setstate__(self, state: Any) -> None:
        """Take a state and forget it."""


def read_checkpoint(
    path: str | os.PathLike, map_location: Any = 'cpu'
) -> dict[str, Any]:
    """Read a file of :func:`torch.save` with ``weights_only=True``.

    Or one of safetensors, as ``publish_model.py --safetensors`` writes them.

    Training scripts store more than weights, such as their command line.
    Objects of types that torch and MMEngine do not count as data are left
    out: inert ones take their place, and the log tells their types.

    Args:
        path: The file.
        map_location: See :func:`torch.load`.

    Returns:
        Its content.

    Raises:
        FileNotFoundError: There is no such file.
        CheckpointError: The file is damaged, not a checkpoint, or cannot be
            read without running code from it.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'{path}: there is no such checkpoint file')
    try:
        if path.suffix == '.safetensors':
            return _read_safetensors(path, map_location)
        with _data_only(path):
            content = torch.load(
                path, map_location=map_location, weights_only=True
            )
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f'{path}: cannot be read as plain data ({_brief(error)}). If you '
            'trust the file, open it where it was made and save only its '
            'weights with torch.save'
        ) from error
    except Exception as error:  # whatever bytes can make torch do
        raise CheckpointError(
            f'{path}: damaged, or not a checkpoint ({_brief(error)})'
        ) from error
    if not isinstance(content, Mapping):
        raise CheckpointError(
            f'{path}: holds a {type(content).__name__}, expected a dict'
        )
    return dict(content)


def _read_safetensors(path: Path, map_location: Any) -> dict[str, Any]:
    from safetensors import safe_open

    device = str(map_location or 'cpu')
    with safe_open(path, 'pt', device=device) as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return dict(meta=file.metadata() or {}, state_dict=weights)


@contextmanager
def _data_only(path: Path) -> Iterator[None]:
    """Let ``torch.load`` build plain data, and nothing else from a file."""
    before = [*serialization.get_safe_globals()]
    serialization.add_safe_globals(_types_of_mmengine())
    try:
        others = sorted(_types_to_ignore(path))
        if others:
            print_log(
                f'{path}: objects of these types are ignored: '
                f'{", ".join(others)}',
                'current',
            )
        serialization.add_safe_globals([*map(_stand_in, others)])
        yield
    finally:
        serialization.clear_safe_globals()
        serialization.add_safe_globals(before)


def _types_of_mmengine() -> list[Any]:
    """What MMEngine's own checkpoints hold: histories, NumPy numbers.

    A history names its methods, for which pickle needs ``getattr``. What that
    returns cannot be called unless it is in this list, too.
    """
    array, number = np.empty(0), np.float64()
    numbers = {type(np.dtype(code)) for code in np.typecodes['All']}
    return [
        *(HistoryBuffer, getattr, slice, codecs.encode),
        *(np.ndarray, array.__reduce__()[0]),
        *(np.dtype, number.__reduce__()[0]),
        *(numbers - {type(np.dtype(object))}),
    ]


def _types_to_ignore(path: Path) -> set[str]:
    """What a file names and torch would refuse.

    Without what is in the modules of the operating system: torch >= 2.5
    refuses a file with that, whatever is said to be safe.
    """
    if not zipfile.is_zipfile(path):  # the format from before torch 1.6
        return set()
    find = getattr(
        serialization, 'get_unsafe_globals_in_checkpoint', _find_unsafe_globals
    )
    return {
        name
        for name in find(path)
        if name.partition('.')[0] not in ('sys', 'os', 'posix', 'nt')
    }


def _find_unsafe_globals(path: Path) -> set[str]:
    """``get_unsafe_globals_in_checkpoint`` for torch < 2.6."""
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in archive.namelist() if n.endswith('/data.pkl'))
        data = archive.read(name)
    # torch.save writes protocol 2, in which Python's modules have old names.
    found = [
        tuple(str(argument).split(' ', 1))
        for code, argument, _ in pickletools.genops(data)
        if code.name == 'GLOBAL'
    ]
    names = {
        '.'.join(NAME_MAPPING.get((a, b), (IMPORT_MAPPING.get(a, a), b)))
        for a, b in found
    }
    user = _weights_only_unpickler._get_user_allowed_globals()
    return names - {*_weights_only_unpickler._get_allowed_globals(), *user}


def _stand_in(name: str) -> type[_Ignored]:
    """An inert type that torch takes for the one of this name."""
    module, _, last = name.rpartition('.')
    return type(last, (_Ignored,), {'__module__': module})


def _brief(error: Exception) -> str:
    """What torch says, without its advice to run the file's code."""
    text = str(error)
    text = text.partition('WeightsUnpickler error:')[2] or text
    return f'{type(error).__name__}: {text.strip()}'.splitlines()[0][:300]


def select_weights(
    content: Mapping[str, Any], ema: bool = False
) -> dict[str, Tensor]:
    """Find the weights in the content of a checkpoint.

    They may be under ``state_dict`` (MMEngine) or ``model`` (the published
    files), or be all there is. ``module.``, which stands before all names if
    the model was wrapped for training, is removed.

    Args:
        content: Content of the file.
        ema: Take the exponential moving average of the weights instead,
            ``ema_state_dict`` or ``ema_model``.

    Returns:
        Tensors by name.

    Raises:
        CheckpointError: There are none, or something else is among them.
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
                f'{name!r} is a {type(value).__name__}, expected a tensor; '
                'the weights of a checkpoint are its entry "state_dict" or '
                '"model", or all of it'
            )
    if not weights:
        raise CheckpointError('the checkpoint holds no weights')
    # MMEngine's averaged weights have a counter beside the model.
    names = [name for name in weights if name != 'steps']
    if all(name.startswith('module.') for name in names):
        return {name.removeprefix('module.'): weights[name] for name in names}
    return dict(weights)
