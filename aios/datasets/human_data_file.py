# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Content of a HumanData file, whichever program wrote it.

``N`` rows (persons), ``J`` joints.
"""

from __future__ import annotations

import os
import warnings
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
from .schema import BODY_MODELS, is_keypoint_key, row_count

# Without these there is no body.
_NEEDED = ('betas', 'body_pose', 'global_orient', 'transl')


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
            streams = _streams if stream else lambda *_: False
            content = stream_npz(path, streams, wanted, allow_objects=True)
    except UnsafeFileError as error:
        fault = Fault('unsafe_content', _member_of(error, path), str(error))
        raise HumanDataError(fault, path) from error
    except CorruptFileError as error:
        fault = Fault('unreadable', _member_of(error, path), str(error))
        raise HumanDataError(fault, path) from error
    if not isinstance(content, dict):
        found = type(content).__name__
        raise HumanDataError.of(
            'wrong_type',
            'file',
            f'must be a dictionary, got {found}',
            source=path,
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
        raise HumanDataError.of('wrong_type', 'file', message, source=path)


def _member_of(error: Exception, path: Path) -> str:
    """Key a reader's message is about: it starts with ``path[key]:``."""
    text = str(error)
    prefix = f'{path}['
    if text.startswith(prefix):
        return text[len(prefix) :].split(']')[0]
    return 'file'


def adapt_variants(
    items: dict[str, Any], compressed: bool, source: str | os.PathLike
) -> None:
    """Bring variants to the format; changes ``items``.

    - Keypoints without a confidence get one: 1, and 0 for joints that the
      mask excludes.
    - Entries of a body model that do not have N rows are left out, with one
      warning: UBody files of mmhuman3d declare poses of eyes and leave them
      empty.  Pose, shape and place of the body must have
      N rows.

    Args:
        items: Content of a file.
        compressed: Whether the joints that masks exclude are left out of it.
        source: The file, for the warning.
    """
    for key in [k for k in items if is_keypoint_key(k)]:
        mask = items.get(f'{key}_mask')
        items[key] = _with_confidence(
            key, items[key], None if compressed else mask
        )
    rows, skipped = row_count(items), []
    for model in BODY_MODELS:
        params = items.get(model)
        if not isinstance(params, dict):
            continue
        for name, value in list(params.items()):
            is_array = isinstance(value, np.ndarray) and value.ndim > 0
            if is_array and len(value) != rows and name not in _NEEDED:
                skipped.append(f'{model}.{name} ({len(value)})')
                del params[name]
    if skipped:
        warnings.warn(
            f'{source}: {len(skipped)} entries do not have {rows} rows and '
            f'are left out: {", ".join(skipped)}',
            stacklevel=4,
        )


def _with_confidence(key: str, value: Any, mask: Any) -> Any:
    """``(N, J, 3)`` or ``(N, J, 4)`` of a ``(N, J, 2)`` or ``(N, J, 3)``."""
    axes = 2 if 'keypoints2d' in key else 3
    if not isinstance(value, np.ndarray) or value.ndim != 3:
        return value
    if value.shape[2] != axes or value.dtype.kind != 'f':
        return value
    confidence = np.ones((*value.shape[:2], 1), value.dtype)
    if mask is not None and np.shape(mask) == value.shape[1:2]:
        confidence[:, np.asarray(mask) == 0] = 0
    return np.concatenate((value, confidence), axis=2)


def without_container(key: str, value: Any) -> Any:
    """Undo what the container did to a value.

    Args:
        key: Its name.
        value: As read.
    """
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if key in ('image_path', 'image_id') and isinstance(value, np.ndarray):
        return value.tolist()
    is_box = key.endswith('bbox_xywh') and isinstance(value, np.ndarray)
    if is_box and value.ndim == 2 and value.shape[1] == 4:
        ones = np.ones((len(value), 1), value.dtype)
        return np.hstack((value, ones))
    return value
