# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Results on their way to ``params.npz``: nothing is computed twice.

While a source is worked on, its results go to small files ("shards") of some
dozen frames, each of which is a complete
:class:`~aios.results.SequenceResult`.  A shard appears only when it is
complete, so after a crash all but the last seconds are there.

Legend: ``N`` persons of all frames, ``F`` frames.
"""

from __future__ import annotations

import bisect
import io
import re
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from aios.results import (
    FRAME_FIELDS,
    PERSON_FIELDS,
    FrameResult,
    SequenceResult,
)
from aios.utils.safe_io import atomic_write, load_npz, save_npz

_NAME = re.compile(r'(\d{9})-(\d{9})\.npz')
_INDICES = 'indices'  # numbers of the frames, not part of the format


@dataclass(frozen=True)
class _Shard:
    path: Path
    begin: int
    end: int


class ShardStore:
    """Frames by number, kept in files.

    Args:
        folder: Where the shards are.
        metadata: See :meth:`aios.results.SequenceResult.from_frames`.
        num_frames: Frames of a shard.
        seconds: A shard is written after this time at the latest.
    """

    def __init__(
        self,
        folder: Path,
        metadata: Mapping[str, Any],
        num_frames: int = 64,
        seconds: float = 10.0,
    ) -> None:
        self.folder = folder
        self.metadata = dict(metadata)
        self.num_frames = num_frames
        self.seconds = seconds
        self._shards = _find_shards(folder)
        self._begin: int | None = None
        self._end = 0
        self._frames: list[tuple[int, FrameResult]] = []
        self._written = time.monotonic()

    def snapshot(self) -> Callable[[int], bool]:
        """Tells whether a frame was written, by now, with or without image."""
        begins = [shard.begin for shard in self._shards]
        ends = [shard.end for shard in self._shards]

        def is_written(index: int) -> bool:
            shard = bisect.bisect_right(begins, index) - 1
            return shard >= 0 and index < ends[shard]

        return is_written

    @property
    def count(self) -> int:
        """Number of frames that were written."""
        return sum(shard.end - shard.begin for shard in self._shards)

    @property
    def paths(self) -> list[Path]:
        """Files, in the order of their frames."""
        return [shard.path for shard in self._shards]

    def append(self, index: int, frame: FrameResult | None) -> None:
        """Keep a frame; numbers ascend.

        Args:
            index: Its number.
            frame: ``None`` if there was no image.
        """
        if self._begin is None or index != self._end:
            self.flush()
            self._begin = index
        self._end = index + 1
        if frame is not None:
            self._frames.append((index, frame))
        full = self._end - self._begin >= self.num_frames
        if full or time.monotonic() - self._written > self.seconds:
            self.flush()

    def flush(self) -> None:
        """Write what is in memory."""
        self._written = time.monotonic()
        if self._begin is None:
            return
        path = self.folder / f'{self._begin:09d}-{self._end:09d}.npz'
        sequence = SequenceResult.from_frames(
            [frame for _, frame in self._frames], **self.metadata
        )
        arrays = sequence.arrays
        arrays[_INDICES] = np.array([i for i, _ in self._frames], np.int64)
        save_npz(path, arrays, overwrite=True, compress=False)
        self._shards.append(_Shard(path, self._begin, self._end))
        self._shards.sort(key=lambda shard: shard.begin)
        self._begin, self._frames = None, []

    def frames(self) -> Iterator[tuple[int, FrameResult]]:
        """Written frames with their numbers, one shard in memory at a time."""
        for path in self.paths:
            sequence = SequenceResult.load(path)
            indices = load_npz(path, [_INDICES])[_INDICES].tolist()
            yield from zip(indices, sequence.frames(), strict=True)


def _find_shards(folder: Path) -> list[_Shard]:
    found = []
    for path in sorted(folder.glob('*.npz')):
        match = _NAME.fullmatch(path.name)
        if match:
            found.append(_Shard(path, int(match[1]), int(match[2])))
    return found


def load_partial(folder: Path) -> SequenceResult:
    """What an interrupted run left, as far as it came.

    Args:
        folder: Of the run's results.

    Returns:
        Tracked and smoothed, if that was wanted.

    Raises:
        FileNotFoundError: If there is nothing.
    """
    kinds = [folder / 'parts' / name for name in ('final', 'raw')]
    found = [_find_shards(kind) for kind in kinds]
    paths = [shard.path for shard in found[0] or found[1]]
    if not paths:
        raise FileNotFoundError(
            f'{folder}: neither params.npz nor parts of it are there'
        )
    parts = [SequenceResult.load(path) for path in paths]
    return SequenceResult.from_frames(
        (frame for part in parts for frame in part.frames()),
        **parts[0].metadata,
    )


def merge_shards(
    paths: Sequence[Path], target: Path, overwrite: bool = False
) -> tuple[int, int]:
    """Put shards together to one file of results.

    Fields of persons are copied piece by piece: an hour of video has more
    of them than should be in memory.

    Args:
        paths: Shards in the order of their frames, at least one.
        target: File that appears only when complete.
        overwrite: Replace an existing file.

    Returns:
        Number of frames and of persons.
    """
    first = load_npz(paths[0])
    rows = ['frame_index', *PERSON_FIELDS]
    frames = {
        name: np.concatenate([load_npz(p, [name])[name] for p in paths])
        for name in FRAME_FIELDS
    }
    sizes = [
        [len(load_npz(p, [name])[name]) for p in paths]
        for name in ('frame_names', 'frame_index')
    ]
    offsets = np.cumsum([0, *sizes[0]])
    having = [p for p, size in zip(paths, sizes[1], strict=True) if size]
    # Optional fields: those of shards with persons.
    known = load_npz(having[0]) if having else first
    with (
        atomic_write(target, overwrite=overwrite) as stream,
        zipfile.ZipFile(stream, 'w', zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, value in first.items():
            if name not in rows and name != _INDICES:
                _write_pieces(archive, name, [frames.get(name, value)])
        for name in rows:
            if name not in known:
                continue
            shape = (sum(sizes[1]), *known[name].shape[1:])
            _write_pieces(
                archive,
                name,
                (
                    load_npz(p, [name])[name]
                    + (offset if name == 'frame_index' else 0)
                    for p, offset, size in zip(
                        paths, offsets, sizes[1], strict=False
                    )
                    if size
                ),
                shape,
                known[name].dtype,
            )
    return sum(sizes[0]), sum(sizes[1])


def _write_pieces(
    archive: zipfile.ZipFile,
    name: str,
    pieces: Any,
    shape: tuple[int, ...] | None = None,
    dtype: np.dtype | None = None,
) -> None:
    """Write an array of an ``.npz`` file from its parts."""
    if shape is None:
        (value,) = pieces
        shape, dtype = value.shape, value.dtype
        pieces = [value]
    assert dtype is not None
    header = io.BytesIO()
    description = dict(
        shape=shape,
        fortran_order=False,
        descr=npy_format.dtype_to_descr(dtype),
    )
    npy_format.write_array_header_1_0(header, description)
    with archive.open(f'{name}.npy', 'w', force_zip64=True) as member:
        member.write(header.getvalue())
        for piece in pieces:
            member.write(np.ascontiguousarray(piece, dtype).tobytes())
