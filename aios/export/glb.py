# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Arrays and JSON in one binary glTF 2.0 file.

Arrays are written to a temporary file at once, so memory does not grow with
the length of the animation.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from aios.utils.safe_io import atomic_write

_FLOAT, _USHORT, _UINT, _UBYTE = 5126, 5123, 5125, 5121
_COMPONENTS = {
    np.dtype(np.float32): _FLOAT,
    np.dtype(np.uint16): _USHORT,
    np.dtype(np.uint32): _UINT,
    np.dtype(np.uint8): _UBYTE,
}
_SHAPES = {(): 'SCALAR', (3,): 'VEC3', (4,): 'VEC4', (4, 4): 'MAT4'}
_MAGIC, _JSON_CHUNK, _BINARY_CHUNK = 0x46546C67, 0x4E4F534A, 0x004E4942
_MAX_BYTES = 2**32 - 1  # lengths are unsigned 32-bit numbers

VERTEX_DATA, VERTEX_INDEX = 34962, 34963
"""Targets of buffer views that a renderer uploads."""


class GLBBuilder:
    """Builder of a glTF document; a context manager.

    Equal arrays, such as the blend shapes of several persons, are stored
    once.
    """

    def __init__(self) -> None:
        self._buffer = tempfile.TemporaryFile()  # noqa: SIM115
        self._length = 0
        self._views: list[dict] = []
        self._accessors: list[dict] = []
        self._known: dict[tuple, int] = {}

    def __enter__(self) -> GLBBuilder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._buffer.close()

    def accessor(
        self,
        array: np.ndarray,
        target: int | None = None,
        bounds: bool = False,
    ) -> int:
        """Store an array.

        Args:
            array: ``(n, *shape)`` float32, uint8, uint16 or uint32. Matrices
                are row-major and are transposed for glTF.
            target: Use by renderers, e.g. :data:`VERTEX_DATA`.
            bounds: Store minimum and maximum, where the format needs them.

        Returns:
            Number of the accessor.
        """
        return self._once(self._dense, array, target, bounds)

    def sparse_accessor(self, array: np.ndarray) -> int:
        """Store a float32 array ``(n, 3)`` with mostly zero rows.

        A dense array is stored if it is smaller.

        Returns:
            Number of the accessor.
        """
        return self._once(self._sparse, array)

    def write(
        self,
        path: str | os.PathLike,
        document: dict[str, Any],
        overwrite: bool = False,
    ) -> int:
        """Write the file.

        Args:
            path: The file. Missing folders are made.
            document: The rest of the glTF document; empty lists are left out.
            overwrite: Replace an existing file.

        Returns:
            Its size in bytes.

        Raises:
            FileExistsError: If it exists and ``overwrite`` is False.
            ValueError: If it would be larger than the format allows.
        """
        parts = dict(
            document, accessors=self._accessors, bufferViews=self._views
        )
        if self._length:
            parts['buffers'] = [{'byteLength': self._length}]
        parts = {name: part for name, part in parts.items() if part != []}
        text = json.dumps(parts, separators=(',', ':')).encode()
        text += b' ' * (-len(text) % 4)
        total = 12 + 8 + len(text)
        if self._length:
            total += 8 + self._length
        if total > _MAX_BYTES:
            raise ValueError(
                f'{path} would have {total:,} bytes, a GLB file at most '
                f'{_MAX_BYTES:,}; write fewer frames or persons'
            )
        with atomic_write(path, overwrite=overwrite) as stream:
            stream.write(struct.pack('<III', _MAGIC, 2, total))
            stream.write(struct.pack('<II', len(text), _JSON_CHUNK))
            stream.write(text)
            if self._length:
                size = struct.pack('<II', self._length, _BINARY_CHUNK)
                stream.write(size)
                self._buffer.seek(0)
                shutil.copyfileobj(self._buffer, stream, 1 << 20)
        return Path(path).stat().st_size

    def _once(
        self,
        describe: Callable[..., dict[str, Any]],
        array: np.ndarray,
        *options: Any,
    ) -> int:
        """Number of an accessor that ``describe`` makes of a new array."""
        content = hashlib.sha256(np.ascontiguousarray(array).data).digest()
        key = describe.__name__, content, array.dtype, array.shape, options
        if key not in self._known:
            self._accessors.append(describe(array, *options))
            self._known[key] = len(self._accessors) - 1
        return self._known[key]

    def _dense(
        self, array: np.ndarray, target: int | None, bounds: bool
    ) -> dict[str, Any]:
        entry = self._describe(array, bounds)
        if array.ndim == 3:
            array = array.transpose(0, 2, 1)
        return entry | {'bufferView': self._view(array, target)}

    def _sparse(self, array: np.ndarray) -> dict[str, Any]:
        rows = np.flatnonzero(array.any(axis=1))
        index_type = np.uint16 if len(array) <= 2**16 else np.uint32
        row_bytes = array[:1].nbytes + np.dtype(index_type).itemsize
        if len(rows) * row_bytes >= array.nbytes:
            return self._dense(array, VERTEX_DATA, True)
        entry = self._describe(array, bounds=True)
        if len(rows):
            index = rows.astype(index_type)
            entry['sparse'] = {
                'count': len(rows),
                'indices': {
                    'bufferView': self._view(index, None),
                    'componentType': _COMPONENTS[index.dtype],
                },
                'values': {'bufferView': self._view(array[rows], None)},
            }
        return entry

    def _describe(self, array: np.ndarray, bounds: bool) -> dict[str, Any]:
        entry = {
            'componentType': _COMPONENTS[array.dtype],
            'count': len(array),
            'type': _SHAPES[array.shape[1:]],
        }
        if bounds:
            entry['min'] = np.atleast_1d(array.min(0)).tolist()
            entry['max'] = np.atleast_1d(array.max(0)).tolist()
        return entry

    def _view(self, array: np.ndarray, target: int | None) -> int:
        data = np.ascontiguousarray(array).tobytes()
        view = {
            'buffer': 0,
            'byteOffset': self._length,
            'byteLength': len(data),
        }
        if target is not None:
            view['target'] = target
        padding = -len(data) % 4
        self._buffer.write(data + b'\0' * padding)
        self._length += len(data) + padding
        self._views.append(view)
        return len(self._views) - 1
