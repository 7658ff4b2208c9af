# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Content of a HumanData file as it stands there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from aios.utils.npz_rows import NpzRows, stream_npz
from aios.utils.safe_io import (
    CorruptFileError,
    UnsafeFileError,
    list_npz,
    load_pickle,
)

from .faults import Fault, HumanDataError
from .schema import is_keypoint_key
from .variants import without_container


def _never(key: str, shape: tuple[int, ...]) -> bool:
    return False


def without_content(rows: NpzRows) -> np.ndarray:
    """An array of the same shape and type that takes no memory."""
    return np.broadcast_to(np.zeros((), rows.dtype), rows.shape)


def _streams(key: str, shape: tuple[int, ...]) -> bool:
    """Whether an array is large, and used as it is in the file."""
    if len(shape) != 3 or not (is_keypoint_key(key) or key == 'vertices'):
        return False
    return shape[2] in ((3, 4) if 'keypoints2d' in key else (4,)) or (
        key == 'vertices'
    )


def read_items(
    path: Path, wanted: set[str] | None, stream: bool
) -> dict[str, Any]:
    """Content of a file by key.

    Args:
        path: ``.npz`` or ``.pkl``.
        wanted: Which keys, default all.
        stream: Leave large arrays of an ``.npz`` in the file.

    Raises:
        HumanDataError: If it is damaged, or holds something else.
    """
    try:
        if path.suffix == '.pkl':
            content = load_pickle(path)
        else:
            _refuse_cache(path)
            streams = _streams if stream else _never
            content = stream_npz(path, streams, wanted, allow_objects=True)
    except UnsafeFileError as error:
        fault = Fault('unsafe_content', _member_of(error, path), str(error))
        raise HumanDataError(fault, path) from error
    except CorruptFileError as error:
        fault = Fault('unreadable', _member_of(error, path), str(error))
        raise HumanDataError(fault, path) from error
    if not isinstance(content, dict):
        found = type(content).__name__
        raise HumanDataError(
            Fault('wrong_type', 'file', f'must be a dictionary, got {found}'),
            path,
        )
    items = {}
    for key, value in content.items():
        if (wanted is None or key in wanted) and value is not None:
            value = without_container(str(key), value)
            if value is not None:
                items[str(key)] = value
    return items


def _refuse_cache(path: Path) -> None:
    """Caches have the same suffix, lie beside it, and are something else."""
    if {'0', 'data_len'} <= set(list_npz(path)):
        message = (
            'is a label cache published with AiOS; AiOSCacheDataset reads it, '
            'see docs/en/datasets.md#caches'
        )
        raise HumanDataError(Fault('wrong_type', 'file', message), path)


def _member_of(error: Exception, path: Path) -> str:
    """Key a reader's message is about: it starts with ``path[key]:``."""
    text = str(error)
    prefix = f'{path}['
    if text.startswith(prefix):
        return text[len(prefix) :].split(']')[0]
    return 'file'
