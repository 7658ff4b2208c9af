# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""A frame, and what all sources of frames have in common."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .exif import FocalLength

_MAX_BYTES = 200  # file systems allow 255, and results add to a name


@dataclass(frozen=True, eq=False)
class Frame:
    """An image, or a frame of a video.

    Args:
        index: Number among the frames of the source that are used, from 0.
        name: Stem of an image's name, or the frame's number in six digits.
        image: ``(H, W, 3)`` uint8 BGR; ``None`` if it was not asked for, or it
            cannot be read.
        size: ``(width, height)`` of the original, of which ``image`` may be
            a reduction.
        source_frame: Number in the video, from 0; 0 for images.
        timestamp: Seconds; 0 for images.
        focal_length: What the camera wrote into the file; ``None`` if
            nothing.
    """

    index: int
    name: str
    image: np.ndarray | None = None
    size: tuple[int, int] = (0, 0)
    source_frame: int = 0
    timestamp: float = 0.0
    focal_length: FocalLength | None = None


def every_frame(index: int) -> bool:
    """Wants all images."""
    return True


class FrameSource(ABC):
    """Frames in a fixed order, with constant memory.

    Attributes:
        name: Name of the source.
        fps: Frames per second as they are used; 0 for images.
        live: Whether frames that are not read in time are lost.
        sound: File with the sound of the frames; ``None`` if there is none.
        problems: What could not be read, so far.
        notes: What else the user should know, so far.
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
        """Whether frames follow each other in time."""
        return self.fps > 0

    @abstractmethod
    def frames(
        self,
        wanted: Callable[[int], bool] = every_frame,
        begin: int = 0,
        end: int | None = None,
    ) -> Iterator[Frame]:
        """All frames.

        Args:
            wanted: Whether the image of a frame, by its index, is wanted.
            begin: First index.
            end: First index that is left out.
        """

    def frame_name(self, index: int) -> str:
        """Name of a frame."""
        return f'{index:06d}'

    def identity(self) -> list[str]:
        """What tells this source from another one."""
        return []


def file_stamp(path: Path) -> str:
    """Short text that changes when a file is written."""
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
    """A name that can be printed, and lengthened by a suffix.

    Args:
        name: Relative path. Bytes that are no UTF-8 become ``%FF``; of names
            of more than 200 bytes the beginning stays, and a hash.
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
