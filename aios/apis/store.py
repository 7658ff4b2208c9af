# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Store intermediate results in shards, which a resumed run reads.

A shard is a file of some dozen frames, a complete
:class:`~aios.results.SequenceResult`.  It appears only when it is complete, so
only the last seconds are lost in a crash.  At the end shards are merged to
``params.npz``.

Legend: ``N`` persons of all frames, ``F`` frames.
"""

from __future__ import annotations

import bisect
import io
import re
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
    """Frames by number, stored in shards.

    Args:
        folder: Folder of the shards.
        metadata: See :meth:`aios.results.SequenceResult.from_frames`.
        num_frames: Number of frames per shard.
        seconds: Longest time until a shard is written.
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
        """Predicate of the frames written so far, with or without image."""
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
        """Add a frame; numbers must ascend.

        Numbers that are left out, as of a camera's lost frames, count as
        frames without image, unless they were written before.

        Args:
            index: Its number.
            frame: ``None`` if there was no image.
        """
        if self._begin is not None and self._is_cut(index):
            self.flush()
        if self._begin is None:
            self._begin = index
        self._end = index + 1
        if frame is not None:
            self._frames.append((index, frame))
        full = len(self._frames) >= self.num_frames
        if full or time.monotonic() - self._written > self.seconds:
            self.flush()

    def _is_cut(self, index: int) -> bool:
        """Whether another shard is between the last frame and this one."""
        return any(self._end <= s.begin < index for s in self._shards)

    def flush(self) -> None:
        """Write the frames in memory to a shard."""
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
            frames = SequenceResult.load(path).frames()
            yield from zip(_numbers(path), frames, strict=True)

    @property
    def numbers(self) -> list[int]:
        """Numbers of the written frames that had an image."""
        return [number for path in self.paths for number in _numbers(path)]


def _numbers(path: Path) -> list[int]:
    numbers: list[int] = load_npz(path, [_INDICES])[_INDICES].tolist()
    return numbers


def _find_shards(folder: Path) -> list[_Shard]:
    found = []
    for path in sorted(folder.glob('*.npz')):
        match = _NAME.fullmatch(path.name)
        if match:
            found.append(_Shard(path, int(match[1]), int(match[2])))
    return found


def load_partial(folder: Path) -> SequenceResult:
    """Load the results of an interrupted run.

    Args:
        folder: Folder of the results.

    Returns:
        The results so far, tracked if the run does that.

    Raises:
        FileNotFoundError: If there are no shards.
    """
    parts_dir = folder / 'parts'
    shards = _find_shards(parts_dir / 'final') or _find_shards(
        parts_dir / 'raw'
    )
    paths = [shard.path for shard in shards]
    if not paths:
        inner = sorted(
            path.parent.name for path in folder.glob('*/params.npz')
        )
        raise FileNotFoundError(
            f'{folder}: has no params.npz and no partial results'
            + (f'; results of videos are in {", ".join(inner)}' * bool(inner))
        )
    parts = [SequenceResult.load(path) for path in paths]
    return SequenceResult.from_frames(
        (frame for part in parts for frame in part.frames()),
        **parts[0].metadata,
    )


def merge_shards(
    paths: Sequence[Path], target: Path, overwrite: bool = False
) -> tuple[int, int]:
    """Merge shards to one file of results.

    Fields of persons are copied shard by shard, as those of an hour of video
    are too large for memory.

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
    # Only shards with persons have optional fields.
    known = load_npz(having[0]) if having else first
    with (
        atomic_write(target, overwrite=overwrite) as stream,
        zipfile.ZipFile(stream, 'w', zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, value in first.items():
            if name not in rows and name != _INDICES:
                value = frames.get(name, value)
                _write_pieces(archive, name, [value], value.shape, value.dtype)
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
    pieces: Iterable[np.ndarray],
    shape: tuple[int, ...],
    dtype: np.dtype,
) -> None:
    """Write an array of an ``.npz`` file piece by piece."""
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
