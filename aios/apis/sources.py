# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Where frames come from: pictures, folders, arrays, videos, cameras."""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import cv2
import numpy as np

from aios.datasets.media import IMAGE_SUFFIXES, VIDEO_SUFFIXES, list_media

from .pictures import as_picture, read_picture

__all__ = [
    'ArraySource',
    'CameraSource',
    'Frame',
    'FrameSource',
    'PictureSource',
    'VideoSource',
    'open_sources',
]

_MAX_FPS = 1000.0  # some files say 90000: the clock, not the frames
_TOLERATED_FRAMES, _TOLERATED_SHARE = 5, 0.02


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture, or a frame of a video.

    Args:
        index: Number among the frames of the source that are used, from 0.
        name: Stem of a picture, or the frame's number in six digits.
        image: ``(H, W, 3)`` uint8 BGR; ``None`` if nobody wanted it, or it
            cannot be read.
        size: ``(width, height)`` of the original, of which ``image`` may be
            a reduction.
        source_frame: Number in the video, from 0; 0 for pictures.
        timestamp: Seconds; 0 for pictures.
    """

    index: int
    name: str
    image: np.ndarray | None = None
    size: tuple[int, int] = (0, 0)
    source_frame: int = 0
    timestamp: float = 0.0


def _everything(index: int) -> bool:
    return True


class FrameSource(ABC):
    """Frames in a fixed order, with constant memory.

    Attributes:
        name: Name of the source.
        fps: Frames per second as they are used; 0 for pictures.
        live: Whether frames are lost while nobody looks.
        problems: What could not be read, so far.
    """

    live = False
    fps = 0.0

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[str] = []

    def __len__(self) -> int:
        """Number of frames, estimated for videos; 0 if nobody knows."""
        return 0

    @property
    def is_sequence(self) -> bool:
        """Whether frames follow each other in time."""
        return self.fps > 0

    @abstractmethod
    def frames(
        self,
        wanted: Callable[[int], bool] = _everything,
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


class PictureSource(FrameSource):
    """Picture files.  Those that cannot be read are left out, see
    :attr:`problems`.

    Args:
        paths: The files.
        root: Names are relative to this folder; default: the one that all
            are in.
        name: Name of the source.
    """  # noqa: D205

    def __init__(
        self,
        paths: Sequence[Path],
        root: Path | None = None,
        name: str = '',
    ) -> None:
        super().__init__(name or str(paths[0]))
        self.paths = list(paths)
        self.names = _unique_names(self.paths, root)

    def __len__(self) -> int:
        return len(self.paths)

    def frames(  # noqa: D102
        self,
        wanted: Callable[[int], bool] = _everything,
        begin: int = 0,
        end: int | None = None,
    ) -> Iterator[Frame]:
        for index in range(len(self))[begin:end]:
            image, size = None, (0, 0)
            if wanted(index):
                try:
                    image, size = read_picture(self.paths[index])
                except (OSError, ValueError) as error:
                    self.problems.append(str(error))
            yield Frame(index, self.names[index], image, size)

    def frame_name(self, index: int) -> str:  # noqa: D102
        return self.names[index]

    def identity(self) -> list[str]:  # noqa: D102
        return [
            f'{name}:{_stamp(path)}'
            for name, path in zip(self.names, self.paths, strict=True)
        ]


class ArraySource(FrameSource):
    """Pictures in memory.

    Args:
        images: See :func:`~aios.apis.pictures.as_picture`.

    Raises:
        ValueError: If one is no picture.
    """

    def __init__(self, images: Sequence[np.ndarray]) -> None:
        super().__init__('arrays')
        self.images = [
            as_picture(image, f'inputs[{i}]') for i, image in enumerate(images)
        ]

    def __len__(self) -> int:
        return len(self.images)

    def frames(  # noqa: D102
        self,
        wanted: Callable[[int], bool] = _everything,
        begin: int = 0,
        end: int | None = None,
    ) -> Iterator[Frame]:
        for index in range(len(self))[begin:end]:
            image = self.images[index]
            yield Frame(index, f'{index:06d}', image, _size(image))


class VideoSource(FrameSource):
    """A video file.

    Args:
        path: The file.
        interval: Use every n-th frame.
        start: Number of the first frame.
        stop: Number of the first frame that is left out.

    Raises:
        ValueError: If it cannot be opened or has no such frame, or a number
            makes no sense.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        interval: int = 1,
        start: int = 0,
        stop: int | None = None,
    ) -> None:
        super().__init__(str(path))
        if interval < 1 or start < 0 or (stop is not None and stop <= start):
            raise ValueError(
                'frame_interval must be >= 1 and 0 <= start < end, got '
                f'frame_interval {interval}, start {start}, end {stop}'
            )
        self.path = Path(path)
        self.interval, self.start, self.stop = interval, start, stop
        capture = self._open()
        fps = capture.get(cv2.CAP_PROP_FPS)
        self._announced = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        readable = capture.read()[0]
        capture.release()
        if not readable:
            raise ValueError(f'{path}: not one frame can be read')
        if 0 < self._announced <= start:
            raise ValueError(
                f'{path}: has {self._announced} frames, none from number '
                f'{start} on'
            )
        self._source_fps = fps if 0 < fps <= _MAX_FPS else 25.0
        self.fps = self._source_fps / interval

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self.path))
        if not capture.isOpened():
            raise ValueError(
                f'{self.path}: OpenCV cannot open this video; it may be '
                'truncated. Otherwise convert it, for example to mp4 (H.264)'
            )
        return capture

    def __len__(self) -> int:
        if self._announced < 1:
            return 0
        stop = min(self._announced, self.stop or self._announced)
        return len(range(self.start, stop, self.interval))

    def frames(  # noqa: D102
        self,
        wanted: Callable[[int], bool] = _everything,
        begin: int = 0,
        end: int | None = None,
    ) -> Iterator[Frame]:
        capture, number, index = self._open(), 0, 0
        try:
            # Only grabbing in order is exact: seeking lands on key frames.
            while (end is None or index < end) and number != self.stop:
                if not capture.grab():
                    self._check_length(number)
                    return
                offset = number - self.start
                if offset >= 0 and offset % self.interval == 0:
                    if index >= begin:
                        yield self._frame(
                            capture, index, number, wanted(index)
                        )
                    index += 1
                number += 1
        finally:
            capture.release()

    def _frame(
        self, capture: cv2.VideoCapture, index: int, number: int, wanted: bool
    ) -> Frame:
        image, size = None, (0, 0)
        if wanted:
            done, image = capture.retrieve()
            if done:
                image = as_picture(image)
                size = _size(image)
            else:
                self.problems.append(
                    f'{self.path}: frame {number} cannot be decoded'
                )
        return Frame(
            index,
            f'{number:06d}',
            image,
            size,
            number,
            number / self._source_fps,
        )

    def _check_length(self, count: int) -> None:
        """Complain if the video ends early; many announce a few too many."""
        missing = min(self._announced, self.stop or self._announced) - count
        tolerated = max(_TOLERATED_FRAMES, _TOLERATED_SHARE * self._announced)
        if missing > tolerated:
            self.problems.append(
                f'{self.path}: ends after {count} of {self._announced} '
                'frames; it is truncated or damaged'
            )

    def frame_name(self, index: int) -> str:  # noqa: D102
        return f'{self.start + index * self.interval:06d}'

    def identity(self) -> list[str]:  # noqa: D102
        options = f'{self.start}:{self.stop}:{self.interval}'
        return [f'{self.path.name}:{_stamp(self.path)}:{options}']


class CameraSource(FrameSource):
    """A camera, or a stream from the network.

    Args:
        device: Number of the camera, or anything else that
            :class:`cv2.VideoCapture` opens.

    Raises:
        ValueError: If it cannot be opened.
    """

    live = True

    def __init__(self, device: int | str = 0) -> None:
        super().__init__(f'camera {device}')
        self.device = device
        self._capture = cv2.VideoCapture(device)
        if not self._capture.isOpened():
            raise ValueError(
                f'{self.name}: cannot be opened; cameras are numbered from '
                '0, and a program can have one only if no other has it'
            )
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps <= _MAX_FPS else 25.0

    def frames(  # noqa: D102
        self,
        wanted: Callable[[int], bool] = _everything,
        begin: int = 0,
        end: int | None = None,
    ) -> Iterator[Frame]:
        start, index = time.monotonic(), 0
        try:
            while end is None or index < end:
                done, image = self._capture.read()
                if not done:
                    return
                elapsed = time.monotonic() - start
                name, size = f'{index:06d}', _size(image)
                yield Frame(index, name, image, size, index, elapsed)
                index += 1
        finally:
            self._capture.release()


def open_sources(
    inputs: Any,
    *,
    recursive: bool = False,
    frame_interval: int = 1,
    start: int = 0,
    end: int | None = None,
) -> list[FrameSource]:
    """Find frames in anything that may hold some.

    Args:
        inputs: File, folder, pattern such as ``'shots/*.jpg'`` or
            ``file://`` address; BGR array ``(H, W, 3)`` or batch of them;
            number of a camera; or a list of files or of arrays.
        recursive: Also look into sub-folders.
        frame_interval: Use every n-th frame of videos.
        start: Number of the first frame of videos.
        end: Number of the first frame of videos that is left out.

    Returns:
        One source for all pictures, and one for each video.

    Raises:
        FileNotFoundError: If there is nothing.
        ValueError: If something cannot be read, or is nothing of the above.
    """
    if isinstance(inputs, FrameSource):
        return [inputs]
    if isinstance(inputs, (int, np.integer)) and not isinstance(inputs, bool):
        return [CameraSource(int(inputs))]
    if isinstance(inputs, np.ndarray):
        return [ArraySource(inputs if inputs.ndim == 4 else [inputs])]
    single = isinstance(inputs, (str, os.PathLike))
    entries = [inputs] if single else inputs
    if not isinstance(entries, Sequence) or not entries:
        raise ValueError(
            'inputs must be a file, a folder, a pattern, a file:// address, '
            'an array, the number of a camera, or a list of files or of '
            f'arrays, got {inputs!r}'
        )
    kinds = {isinstance(entry, np.ndarray) for entry in entries}
    if len(kinds) > 1:
        raise ValueError(
            'a list of inputs must hold files only, or arrays only'
        )
    if kinds == {True}:
        return [ArraySource(entries)]
    root = Path(_local_path(inputs)) if single else None
    paths = [
        path
        for entry in entries
        for path in list_media(_local_path(entry), recursive)
    ]
    videos = [path for path in paths if _is_video(path)]
    pictures = [path for path in paths if path not in set(videos)]
    sources: list[FrameSource] = []
    if pictures:
        if root is not None and not root.is_dir():
            root = None
        name = str(inputs) if single else ''
        sources.append(PictureSource(pictures, root, name))
    options = frame_interval, start, end
    return sources + [VideoSource(path, *options) for path in videos]


def _local_path(entry: Any) -> str:
    if not isinstance(entry, (str, os.PathLike)):
        raise ValueError(
            f'a list of inputs holds files or arrays, got {entry!r}'
        )
    text = os.fspath(entry)
    parts = urlsplit(text)
    if '://' not in text:
        return os.path.expanduser(text)
    if parts.scheme != 'file' or parts.netloc not in ('', 'localhost'):
        raise ValueError(
            f'{text}: only file:// addresses of this machine are read; '
            'download it first'
        )
    return url2pathname(parts.path)


def _is_video(path: Path) -> bool:
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES or suffix in VIDEO_SUFFIXES:
        return suffix in VIDEO_SUFFIXES
    return not cv2.haveImageReader(str(path))


def _unique_names(paths: Sequence[Path], root: Path | None) -> list[str]:
    """Stems; with the suffix where two are the same, else with a number.

    Pictures of sub-folders keep those: ``sub/stem``.
    """
    if root is None:
        root = Path(os.path.commonpath([p.absolute().parent for p in paths]))
    relative = [Path(os.path.relpath(p.absolute(), root)) for p in paths]
    stems = [path.with_suffix('').as_posix() for path in relative]
    names = _where_twice(stems, [path.as_posix() for path in relative])
    numbered = [f'{name}_{index}' for index, name in enumerate(names)]
    return _where_twice(names, numbered)


def _where_twice(names: list[str], others: list[str]) -> list[str]:
    """Take the other name where two are the same, until none are."""
    names = list(names)
    while True:
        # Some file systems do not tell A from a.
        count = Counter(name.lower() for name in names)
        twice = [
            index
            for index, name in enumerate(names)
            if count[name.lower()] > 1 and name != others[index]
        ]
        if not twice:
            return names
        for index in twice:
            names[index] = others[index]


def _size(image: np.ndarray) -> tuple[int, int]:
    return image.shape[1], image.shape[0]


def _stamp(path: Path) -> str:
    status = path.stat()
    return f'{status.st_size}:{status.st_mtime_ns}'
