# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Frames and the base class of their sources."""

from __future__ import annotations

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .exif import FocalLength

_MAX_BYTES = 200  # file systems allow 255, including suffixes of results


@dataclass(frozen=True, eq=False)
class Frame:
    """An image, or a frame of a video.

    Args:
        index: Number among the frames of the source that are used, from 0.
        name: Stem of an image's name, or the frame's number in six digits.
        image: ``(H, W, 3)`` uint8 BGR; ``None`` if it was not requested, or
            cannot be read.
        size: ``(width, height)`` of the original; ``image`` may be smaller.
        source_frame: Number in the video or sequence, from 0; 0 for images.
        timestamp: Seconds; 0 for images.
        focal_length: From the EXIF data of the file; ``None`` if unknown.
    """

    index: int
    name: str
    image: np.ndarray | None = None
    size: tuple[int, int] = (0, 0)
    source_frame: int = 0
    timestamp: float = 0.0
    focal_length: FocalLength | None = None


def every_frame(index: int) -> bool:
    """Request all images."""
    return True


class FrameSource(ABC):
    """Frames in a fixed order, with constant memory.

    Attributes:
        name: Name of the source.
        fps: Frames per second, those not used left out; 0 for images.
        live: Whether frames that are not read in time are lost.
        sound: File with the sound of the frames; ``None`` if there is none.
        problems: Messages about unreadable files and frames so far.
        notes: Other messages for the user so far.
    """

    live = False
    fps = 0.0
    sound: Path | None = None

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[str] = []
        self.notes: list[str] = []

    def __len__(self) -> int:
        """Number of frames, estimated for videos; 0 if unknown."""
        return 0

    @property
    def is_sequence(self) -> bool:
        """Whether frames are consecutive, as of a video or a camera."""
        return self.fps > 0

    @abstractmethod
    def frames(
        self,
        wanted: Callable[[int], bool] = every_frame,
        begin: int = 0,
        end: int | None = None,
    ) -> Iterator[Frame]:
        """Iterate over frames.

        Args:
            wanted: Whether to read the image of a frame, by its index.
            begin: First index.
            end: End index, excluded.
        """

    def frame_name(self, index: int) -> str:
        """Name of a frame."""
        return f'{index:06d}'

    def identity(self) -> list[str]:
        """Strings that identify the source and the state of its files."""
        return []


def check_range(
    interval: int, start: int, end: int | None, fps: float = 1.0
) -> None:
    """Check the selection of the frames of a video, and their rate.

    Raises:
        ValueError: If a number is out of its range.
    """
    if not 0 < fps < math.inf:
        raise ValueError(f'fps must be > 0, got {fps}')
    if interval < 1 or start < 0 or (end is not None and end <= start):
        raise ValueError(
            'frame_interval must be >= 1 and 0 <= start < end, got '
            f'frame_interval {interval}, start {start}, end {end}'
        )


def file_stamp(path: Path) -> str:
    """Short string that changes when a file is written."""
    status = path.stat()
    return f'{status.st_size}:{status.st_mtime_ns}'


def is_utf8(name: str) -> bool:
    """Whether a file name is text; on Linux it may be any bytes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def safe_name(name: str) -> str:
    """Make a name printable, and short enough for suffixes.

    Args:
        name: Relative path. Bytes that are not UTF-8 become ``%FF``; parts of
            more than 200 bytes are cut and get a hash.
    """
    return '/'.join(map(_safe_part, name.split('/')))


def _safe_part(name: str) -> str:
    if not is_utf8(name):
        data = name.encode('utf-8', 'surrogateescape')
        name = data.decode('utf-8', 'backslashreplace').replace('\\x', '%')
    data = name.encode()
    if len(data) <= _MAX_BYTES:
        return name
    begin = data[: _MAX_BYTES - 9].decode('utf-8', 'ignore')
    return f'{begin}~{hashlib.sha256(data).hexdigest()[:8]}'
