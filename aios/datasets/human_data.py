# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""HumanData: mmhuman3d's annotation format, read and written safely.

The format is described in ``docs/en/human_data.md``.  It is compatible with
mmhuman3d 0.11 (``HumanData`` and ``MultiHumanData``) in both directions.

Symbols: ``N`` rows (one row is one person in one image), ``M`` images, ``J``
joints.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import numpy as np

from aios.structures import JointSet, joint_mapping
from aios.utils.npz_rows import NpzRows
from aios.utils.portable_pickle import dump_npz, dump_pickle

from .faults import Fault, HumanDataError, refusing
from .human_data_file import adapt_variants, read_items, without_content
from .schema import (
    find_faults,
    is_keypoint_key,
    joint_set_of,
    path_codes,
    row_count,
)

__all__ = ['HumanData', 'HumanDataError']

# Attributes stored in the file beside the data.
_KEY_STRICT = '__key_strict__'
_DATA_LEN = '__data_len__'
_OLD_DATA_LEN = '__temporal_len__'
_INSTANCE_NUM = '__instance_num__'
_COMPRESSED = '__keypoints_compressed__'
_ATTRIBUTES = (
    _KEY_STRICT,
    _DATA_LEN,
    _OLD_DATA_LEN,
    _INSTANCE_NUM,
    _COMPRESSED,
)


class HumanData(MutableMapping):
    """One annotation file in memory.

    It behaves like a dictionary of the format's keys, except that its length
    is the number of rows.  ``hd[key]`` of a keypoint array always has all
    joints of its convention, whether or not the file is compressed.

    Args:
        items: Initial content.
        compressed: Whether the keypoints of ``items`` lack the joints that
            their masks exclude, see :meth:`compress`.

    Examples:
        >>> hd = HumanData()
        >>> hd['image_path'] = ['a.jpg', 'a.jpg', 'b.jpg']
        >>> hd['bbox_xywh'] = np.ones((3, 5), np.float32)
        >>> hd.set_frame_range()
        >>> len(hd), [len(rows) for rows in hd.images()]
        (3, [2, 1])
    """

    def __init__(
        self,
        items: Mapping[str, Any] | None = None,
        *,
        compressed: bool = False,
    ) -> None:
        self._items: dict[str, Any] = {}
        self._compressed = False
        for key, value in (items or {}).items():
            self[key] = value
        self._compressed = compressed

    # -- reading and writing --------------------------------------------

    @classmethod
    def load(
        cls,
        path: str | os.PathLike,
        keys: Iterable[str] | None = None,
        check: bool = True,
        stream: bool = False,
    ) -> HumanData:
        """Read an ``.npz`` or ``.pkl`` file without executing code from it.

        Args:
            path: The file.
            keys: Keys to read, default all.  Other members of an ``.npz``
                are not unpacked.
            check: Raise on structural faults.  Disable it only to inspect a
                broken file.
            stream: Leave keypoints and vertices of an ``.npz`` in the file;
                :meth:`joints`, and indexing with rows, read the requested
                rows, best in ascending order.

        Returns:
            The content, compressed if the file is.

        Raises:
            FileNotFoundError: If there is no such file.
            HumanDataError: If it is damaged, holds objects that could run
                code or has structural faults (wrong shapes, lengths, masks,
                conventions ...); the message names file, row, field and
                allowed values.
        """
        with refusing(path):
            return cls._load(Path(path), keys, check, stream)

    @classmethod
    def _load(
        cls,
        path: Path,
        keys: Iterable[str] | None,
        check: bool,
        stream: bool,
    ) -> HumanData:
        wanted = None if keys is None else {*keys, *_ATTRIBUTES}
        items = read_items(path, wanted, stream)
        compressed = bool(items.pop(_COMPRESSED, False))
        lengths = {key: items.pop(key, None) for key in _ATTRIBUTES}
        adapt_variants(items, compressed, path)
        data = cls()
        data._items = items
        data._compressed = compressed
        if check:
            faults = [*data.faults(), *data._check_lengths(lengths)]
            if faults:
                raise HumanDataError(faults, path)
        return data

    def dump(self, path: str | os.PathLike, overwrite: bool = False) -> None:
        """Write the file atomically.

        Args:
            path: Name ending with ``.npz`` or ``.pkl``.
            overwrite: Whether an existing file may be replaced.

        Raises:
            FileExistsError: If the file exists and ``overwrite`` is false.
            HumanDataError: If the content has structural faults.
            ValueError: If the name has another suffix.
        """
        suffix = Path(path).suffix
        if suffix not in ('.npz', '.pkl'):
            raise ValueError(f'{path}: the suffix must be .npz or .pkl')
        faults = self.faults()
        if faults:
            raise HumanDataError(faults, path)
        content = {**self._attributes(), **self._items}
        if suffix == '.npz':
            dump_npz(path, content, overwrite=overwrite)
        else:
            dump_pickle(path, content, overwrite=overwrite)

    def _attributes(self) -> dict[str, Any]:
        attributes = {
            _KEY_STRICT: False,
            _DATA_LEN: len(self) or -1,
            _COMPRESSED: self._compressed,
        }
        if 'frame_range' in self:
            # In MultiHumanData these are images and persons.
            attributes[_DATA_LEN] = len(self._items['frame_range'])
            attributes[_INSTANCE_NUM] = len(self)
        return attributes

    # -- the dictionary ---------------------------------------------------

    def __len__(self) -> int:
        return row_count(self._items)

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __contains__(self, key: object) -> bool:
        return key in self._items

    def __getitem__(self, key: str) -> Any:
        value = self._items[key]
        mask = self._mask(key)
        if self._compressed and mask is not None:
            return _pad_joints(value, mask)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        if self._compressed and 'keypoints' in key:
            raise HumanDataError.of(
                'wrong_mask', key, 'call decompress() before setting it'
            )
        self._items[key] = value

    def __delitem__(self, key: str) -> None:
        del self._items[key]

    def __repr__(self) -> str:
        keys = ', '.join(self._items)
        return f'{type(self).__name__}({len(self)} rows: {keys})'

    def raw(self, key: str) -> Any:
        """Value as stored: compressed keypoints lack their masked joints."""
        return self._items[key]

    @property
    def compressed(self) -> bool:
        """Whether the stored arrays lack the masked joints."""
        return self._compressed

    # -- keypoints -------------------------------------------------------

    def _mask(self, key: str) -> np.ndarray | None:
        """``(J,)`` bool mask of a stored keypoint array, if it has one."""
        if not is_keypoint_key(key) or f'{key}_mask' not in self._items:
            return None
        if np.ndim(self._items[key]) < 2 or self._is_masked_by_row(key):
            return None
        return np.asarray(self._items[f'{key}_mask']) != 0

    def _is_masked_by_row(self, key: str) -> bool:
        """Whether the mask has more axes than joints, as in SMPLer-X."""
        return np.ndim(self._items.get(f'{key}_mask', 0)) > 1

    def compress(self) -> None:
        """Remove the joints that a mask excludes from the arrays.

        An array without a mask gets one that excludes nothing.
        :meth:`decompress` restores the excluded joints as zeros; other
        values are lost.

        Raises:
            HumanDataError: If it is already compressed or has faults.
        """
        self._refuse_if(self._compressed, 'is compressed already')
        self._refuse_faults()
        for key in [k for k in self._items if is_keypoint_key(k)]:
            value = self._items[key]
            if np.ndim(value) < 2 or self._is_masked_by_row(key):
                continue
            mask = self._mask(key)
            if mask is None:
                mask = np.ones(np.shape(value)[1], np.uint8)
                self._items[f'{key}_mask'] = mask
            else:
                self._items[key] = value[:, mask]
        self._compressed = True

    def decompress(self) -> None:
        """Restore the joints that :meth:`compress` removed, as zeros.

        Raises:
            HumanDataError: If it is not compressed.
        """
        self._refuse_if(not self._compressed, 'is not compressed')
        for key in list(self._items):
            self._items[key] = self[key]
        self._compressed = False

    def generate_masks(self) -> None:
        """Compute every keypoint mask from the confidences.

        A joint is masked out if its confidence (the last column) is zero in
        all rows.

        Raises:
            HumanDataError: If the keypoints are compressed.
        """
        self._refuse_if(self._compressed, 'is compressed')
        for key in [k for k in self._items if is_keypoint_key(k)]:
            value = self._items[key]
            if np.ndim(value) == 3 and not self._is_masked_by_row(key):
                mask = (value[..., -1] > 0).any(axis=0)
                self._items[f'{key}_mask'] = mask.astype(np.uint8)

    def joint_set(self, key: str) -> JointSet:
        """Joint set of a keypoint array.

        Raises:
            HumanDataError: If its name is unknown.
        """
        return joint_set_of(self._items, key)

    def joints(
        self,
        key: str,
        joint_set: str | JointSet,
        rows: np.ndarray | slice = slice(None),
    ) -> np.ndarray:
        """Keypoints in another joint set, without unpacking all joints.

        Args:
            key: Name of the array.
            joint_set: Target joint set.  Joints at nearly the same place
                (COCO hips) are treated as equal.
            rows: Rows to take.

        Returns:
            ``(rows, J, C)`` new array, zeros for joints the file lacks.
        """
        mask = self._mask(key)
        index = joint_mapping(
            self.joint_set(key), joint_set, approximate=True, available=mask
        )
        if mask is not None and self._compressed:
            stored = np.cumsum(mask) - 1
            index = np.where(index >= 0, stored[index], -1)
        value = self._items[key][rows]
        if value.shape[1] == 0:
            return np.zeros((len(value), len(index), value.shape[2]))
        out = np.take(value, np.maximum(index, 0), axis=1)
        out[:, index < 0] = 0
        return out

    # -- images -----------------------------------------------------------

    def set_frame_range(self, frame_range: np.ndarray | None = None) -> None:
        """Set the rows of each image.

        Args:
            frame_range: ``(M, 2)`` integers, rows ``[start, end)`` of each
                image.  Default: runs of equal ``image_path``.

        Raises:
            HumanDataError: If ranges overlap, exceed the file or hold more
                than one image.
        """
        if frame_range is None:
            paths = np.asarray(self['image_path'], dtype=str)
            starts = np.flatnonzero(
                np.concatenate(([True], paths[1:] != paths[:-1]))
            )[: len(paths)]
            frame_range = np.stack(
                (starts, np.append(starts[1:], len(paths))[: len(starts)]), 1
            )
        self['frame_range'] = np.asarray(frame_range)
        self._refuse_faults()

    def images(self, group_by_image: bool = True) -> list[np.ndarray]:
        """Rows of each image.

        Args:
            group_by_image: Group all rows with the same ``image_path``,
                even if not contiguous.  Otherwise ``frame_range`` decides;
                without it every row is a separate image.

        Returns:
            One integer array of rows per image, in order of appearance.
        """
        rows, counts = self.image_rows(group_by_image)
        return np.split(rows, np.cumsum(counts)[:-1]) if len(counts) else []

    def image_rows(
        self, group_by_image: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """Rows of all images, see :meth:`images`.

        Returns:
            Rows sorted by image, and the number of rows per image, int64.
        """
        rows = np.arange(len(self))
        counts = np.ones(len(self), np.int64)
        if 'frame_range' in self:
            start, end = np.asarray(self._items['frame_range'], np.int64).T
            start, counts = start[end > start], (end - start)[end > start]
            ends = np.cumsum(counts)
            rows = np.arange(counts.sum())
            rows += np.repeat(start - (ends - counts), counts)
        if not group_by_image or not len(rows):
            return rows, counts
        paths = self._items['image_path']
        code = path_codes([paths[row] for row in rows.tolist()])
        return rows[np.argsort(code, kind='stable')], np.bincount(code)

    # -- checks -------------------------------------------------------------

    def faults(self) -> list[Fault]:
        """Structural faults; see :func:`aios.datasets.schema.find_faults`."""
        items = {
            key: without_content(value)
            if isinstance(value, NpzRows)
            else value
            for key, value in self._items.items()
        }
        return find_faults(items, self._compressed)

    def _refuse_if(self, condition: bool, message: str) -> None:
        if condition:
            raise HumanDataError.of('wrong_mask', 'keypoints', message)

    def _refuse_faults(self) -> None:
        faults = self.faults()
        if faults:
            raise HumanDataError(faults)

    def _check_lengths(self, lengths: Mapping[str, Any]) -> Iterator[Fault]:
        allowed = {-1, len(self)}
        if 'frame_range' in self:
            allowed.add(len(self._items['frame_range']))
        for key in (_DATA_LEN, _OLD_DATA_LEN, _INSTANCE_NUM):
            value = lengths[key]
            if value is not None and value not in allowed:
                yield Fault(
                    'wrong_length',
                    key,
                    f'is {value}, but the arrays have {len(self)} rows',
                )


def _pad_joints(value: np.ndarray, mask: np.ndarray) -> np.ndarray:
    shape = (len(value), len(mask), *value.shape[2:])
    padded = np.zeros(shape, value.dtype)
    padded[:, mask] = value
    return padded
