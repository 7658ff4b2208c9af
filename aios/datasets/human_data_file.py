# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Content of HumanData files of various programs.

Symbols: ``N`` rows (persons), ``J`` joints.
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

from .faults import HumanDataError, file_fault
from .schema import BODY_MODELS, is_keypoint_key, row_count

# Parameters without which a body cannot be posed.
_REQUIRED = ('betas', 'body_pose', 'global_orient', 'transl')


def without_content(rows: NpzRows) -> np.ndarray:
    """Array of the same shape and dtype that takes no memory."""
    return np.broadcast_to(np.zeros((), rows.dtype), rows.shape)


def _streams(key: str, shape: tuple[int, ...]) -> bool:
    """Whether an array is large and used as it is stored in the file."""
    if len(shape) != 3:
        return False
    if key == 'vertices':
        return True
    columns = (3, 4) if 'keypoints2d' in key else (4,)
    return is_keypoint_key(key) and shape[2] in columns


def read_items(
    path: Path, wanted: set[str] | None, stream: bool
) -> dict[str, Any]:
    """Content of a file by key.

    Args:
        path: ``.npz`` or ``.pkl``.
        wanted: Keys to read, default all.
        stream: Leave large arrays of an ``.npz`` in the file.

    Raises:
        HumanDataError: If it is damaged or not of this format.
    """
    try:
        if path.suffix == '.pkl':
            content = load_pickle(path)
        else:
            _refuse_cache(path)
            streams = _streams if stream else lambda *_: False
            content = stream_npz(path, streams, wanted, allow_objects=True)
    except (UnsafeFileError, CorruptFileError) as error:
        fault = file_fault(error, _member_of(error, path))
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
    """Reject label caches of AiOS, which have the same suffix."""
    if {'0', 'data_len'} <= set(list_npz(path)):
        message = (
            'is a label cache published with AiOS; AiOSCacheDataset reads it, '
            'see docs/en/datasets.md#caches'
        )
        raise HumanDataError.of('wrong_type', 'file', message, source=path)


def _member_of(error: Exception, path: Path) -> str:
    """Key in a reader's message, which starts with ``path[key]:``."""
    text = str(error)
    prefix = f'{path}['
    if text.startswith(prefix):
        return text[len(prefix) :].split(']')[0]
    return 'file'


def adapt_variants(
    items: dict[str, Any], compressed: bool, source: str | os.PathLike
) -> None:
    """Convert variants of the format; changes ``items``.

    - Keypoints without a confidence get one: 1, and 0 for joints that the
      mask excludes.
    - Entries of a body model that do not have N rows are left out with one
      warning: UBody files of mmhuman3d have empty eye poses.  Pose, shape
      and translation of the body must have N rows.

    Args:
        items: Content of a file.
        compressed: Whether keypoints lack the joints that masks exclude.
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
            if is_array and len(value) != rows and name not in _REQUIRED:
                skipped.append(f'{model}.{name} ({len(value)})')
                del params[name]
    if skipped:
        warnings.warn(
            f'{source}: dropped {len(skipped)} entries that do not have '
            f'{rows} rows: {", ".join(skipped)}',
            stacklevel=4,
        )


def _with_confidence(key: str, value: Any, mask: Any) -> Any:
    """Append a confidence to ``(N, J, 2)`` 2-D or ``(N, J, 3)`` 3-D points."""
    axes = 2 if 'keypoints2d' in key else 3
    if not isinstance(value, np.ndarray) or value.ndim != 3:
        return value
    if value.shape[2] != axes or value.dtype.kind not in 'fiu':
        return value
    confidence = np.ones((*value.shape[:2], 1), value.dtype)
    if mask is not None and np.shape(mask) == value.shape[1:2]:
        confidence[:, np.asarray(mask) == 0] = 0
    return np.concatenate((value, confidence), axis=2)


def without_container(key: str, value: Any) -> Any:
    """Convert a stored value to the type that the format documents.

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
