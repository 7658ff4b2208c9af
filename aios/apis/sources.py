# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Sources of frames: images, folders, arrays, videos, cameras."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np

from aios.utils.images import read_header
from aios.utils.media import VIDEO_SUFFIXES, is_media, list_media

from .exif import ExifError, exif_focal_length
from .frames import (
    Frame,
    FrameSource,
    check_range,
    every_frame,
    file_stamp,
    safe_name,
)
from .images import as_image, read_image
from .video_sources import CameraSource, VideoSource

__all__ = [
    'ArraySource',
    'CameraSource',
    'Frame',
    'FrameSource',
    'ImageSequence',
    'ImageSource',
    'VideoSource',
    'open_sources',
    'unique_names',
]


class _IndexedSource(FrameSource):
    """Frames with random access."""

    @abstractmethod
    def _frame(self, index: int, wanted: bool) -> Frame: ...

    def frames(  # noqa: D102
        self,
        wanted: Callable[[int], bool] = every_frame,
        begin: int = 0,
        end: int | None = None,
    ) -> Iterator[Frame]:
        for index in range(len(self))[begin:end]:
            yield self._frame(index, wanted(index))


class ImageSource(_IndexedSource):
    """Image files.  Those that cannot be read are left out, see
    :attr:`problems`.

    Args:
        paths: The files.
        root: Names are relative to this folder; default: the common folder.
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
        self.names = unique_names(self.paths, root)

    def __len__(self) -> int:
        return len(self.paths)

    def _frame(self, index: int, wanted: bool) -> Frame:
        image, size, focal = None, (0, 0), None
        if wanted:
            try:
                image, size = read_image(self.paths[index])
                focal = exif_focal_length(self.paths[index], size)
            except ExifError as error:
                self.notes.append(f'{error}; it is not used')
            except (OSError, ValueError) as error:
                self.problems.append(str(error))
        return Frame(index, self.names[index], image, size, focal_length=focal)

    def frame_name(self, index: int) -> str:  # noqa: D102
        return self.names[index]

    def identity(self) -> list[str]:  # noqa: D102
        return [
            f'{name}:{file_stamp(path)}'
            for name, path in zip(self.names, self.paths, strict=True)
        ]


class ImageSequence(ImageSource):
    """Image files that are the frames of one video, in this order.

    Args:
        paths: The files.
        fps: Frames per second of all files.
        interval: Use every n-th file.
        start: Number of the first file.
        stop: Number of the end file, excluded.

    Raises:
        ValueError: If there is no such file, or a number is out of its range.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        fps: float,
        interval: int = 1,
        start: int = 0,
        stop: int | None = None,
    ) -> None:
        check_range(interval, start, stop, fps)
        folder = paths[0].parent
        if folder.name in ('', '..'):  # results are in a folder of that name
            folder = Path(os.path.abspath(folder))
        name = str(folder)
        if start >= len(paths):
            raise ValueError(
                f'{name}: has {len(paths)} images, start must be less, got '
                f'{start}'
            )
        self._numbers = range(len(paths))[start:stop:interval]
        self._source_fps, self.fps = fps, fps / interval
        super().__init__(
            [paths[number] for number in self._numbers], name=name
        )

    def _frame(self, index: int, wanted: bool) -> Frame:
        number = self._numbers[index]
        return replace(
            super()._frame(index, wanted),
            source_frame=number,
            timestamp=number / self._source_fps,
        )

    def identity(self) -> list[str]:  # noqa: D102
        return [*super().identity(), f'fps:{self.fps}']


class ArraySource(_IndexedSource):
    """Images in memory.

    Args:
        images: See :func:`~aios.apis.images.as_image`.

    Raises:
        ValueError: If one is not an image.
    """

    def __init__(self, images: Sequence[np.ndarray]) -> None:
        super().__init__('arrays')
        self.images = [
            as_image(image, f'inputs[{i}]') for i, image in enumerate(images)
        ]

    def __len__(self) -> int:
        return len(self.images)

    def _frame(self, index: int, wanted: bool) -> Frame:
        image = self.images[index]
        return Frame(index, self.frame_name(index), image, image.shape[1::-1])


def open_sources(
    inputs: Any,
    *,
    recursive: bool = False,
    frame_interval: int = 1,
    start: int = 0,
    end: int | None = None,
    fps: float | None = None,
    without: str | os.PathLike | None = None,
) -> list[FrameSource]:
    """Open sources of frames.

    Args:
        inputs: File, folder, pattern such as ``'shots/*.jpg'`` or
            ``file://`` address; BGR array ``(H, W, 3)`` or batch of them;
            number of a camera; or a list of files or of arrays.
        recursive: Also search sub-folders.
        frame_interval: Use every n-th frame of videos.
        start: Number of the first frame of videos.
        end: Number of the end frame of videos, excluded.
        fps: The image files of each folder are the frames of a video with so
            many frames per second, in the order of the numbers in their
            names. Default: images have nothing to do with each other.
        without: Sub-folder that is left out, for the results.

    Returns:
        One source for all images, or with ``fps`` for each folder of images,
        and one for each video. Videos and folders that cannot be opened are
        listed in the problems of the first source, if there is another one.

    Raises:
        FileNotFoundError: If no file is found.
        ValueError: If nothing can be read, or the input is none of the above.
    """
    if isinstance(inputs, FrameSource):
        return [inputs]
    if isinstance(inputs, (int, np.integer)) and not isinstance(inputs, bool):
        return [CameraSource(int(inputs))]
    if isinstance(inputs, np.ndarray):
        return [ArraySource([*inputs] if inputs.ndim == 4 else [inputs])]
    single = isinstance(inputs, (str, os.PathLike))
    entries = [inputs] if single else inputs
    if not isinstance(entries, Sequence) or not entries:
        raise ValueError(
            'inputs must be a file, a folder, a pattern, a file:// URL, an '
            'array, a camera number, or a list of files or of arrays, got '
            f'{inputs!r}'
        )
    kinds = {isinstance(entry, np.ndarray) for entry in entries}
    if len(kinds) > 1:
        raise ValueError(
            'inputs must be a list of files only, or of arrays only'
        )
    if kinds == {True}:
        return [ArraySource(entries)]
    root = Path(_local_path(inputs)) if single else None
    paths = [
        path
        for entry in entries
        for path in list_media(_local_path(entry), recursive, without)
    ]
    kinds_of = {path: _is_video(path) for path in paths}
    videos = [path for path in paths if kinds_of[path]]
    images = [path for path in paths if not kinds_of[path]]
    part = frame_interval, start, end
    check_range(*part, 1.0 if fps is None else fps)
    found: list[FrameSource] = []
    closed: list[Callable[[], FrameSource]] = []
    if fps is not None:
        closed += [
            partial(ImageSequence, files, fps, *part)
            for files in frames_by_folder(images)
        ]
    elif images:
        if root is not None and not root.is_dir():
            root = None
        name = str(inputs) if single else ''
        found.append(ImageSource(images, root, name))
    closed += [partial(VideoSource, path, *part) for path in videos]
    sources = _with_open(found, closed)
    if fps is None and not videos and part != (1, 0, None):
        sources[0].notes.append(
            'frame_interval, start and end select frames of videos; with fps '
            'these images are one'
        )
    elif fps is not None and not images:
        sources[0].notes.append('fps is for images; videos have their own')
    return sources


def frames_by_folder(paths: Iterable[Path]) -> list[list[Path]]:
    """Image files of each folder, in the given order.

    Args:
        paths: Image files.
    """
    folders: dict[Path, list[Path]] = {}
    for path in paths:
        folders.setdefault(path.absolute().parent, []).append(path)
    return list(folders.values())


def _with_open(
    sources: list[FrameSource], closed: Iterable[Callable[[], FrameSource]]
) -> list[FrameSource]:
    """Append sources; those that cannot be opened become problems.

    Raises:
        ValueError: If there is no other source.
    """
    problems: list[str] = []
    for opened in closed:
        try:
            sources.append(opened())
        except ValueError as error:
            problems.append(str(error))
    if not sources:
        raise ValueError('\n'.join(dict.fromkeys(problems)))
    sources[0].problems += problems
    return sources


def _local_path(entry: Any) -> str:
    if not isinstance(entry, (str, os.PathLike)):
        raise ValueError(
            f'inputs must be a list of files or arrays, got {entry!r}'
        )
    text = os.fspath(entry)
    parts = urlsplit(text)
    if '://' not in text:
        return os.path.expanduser(text)
    if parts.scheme != 'file' or parts.netloc not in ('', 'localhost'):
        raise ValueError(
            f'{text}: only local file:// URLs are read; download the file '
            'first'
        )
    return url2pathname(parts.path)


def _is_video(path: Path) -> bool:
    if is_media(path):
        return path.suffix.lower() in VIDEO_SUFFIXES
    with open(path, 'rb') as stream:
        return read_header(stream) is None


def unique_names(paths: Sequence[Path], root: Path | None) -> list[str]:
    """Unique names of files: stems, with suffix or number if needed.

    Names include sub-folders: ``sub/stem``.  See
    :func:`~aios.apis.frames.safe_name` for unusual characters.

    Args:
        paths: The files.
        root: Names are relative to this folder; default: the common folder.
    """
    relative = _relative_paths(paths, root)
    stems = [safe_name(p.with_suffix('').as_posix()) for p in relative]
    whole = [safe_name(path.as_posix()) for path in relative]
    names = _replace_duplicates(stems, whole)
    numbered = [f'{name}_{index}' for index, name in enumerate(names)]
    return _replace_duplicates(names, numbered)


def flat_names(paths: Sequence[Path]) -> list[str]:
    """Names of files without folders: ``stem``, or ``sub__stem`` if needed.

    Args:
        paths: The files.
    """
    names = (name.replace('/', '__') for name in unique_names(paths, None))
    return [*map(safe_name, names)]


def _relative_paths(paths: Sequence[Path], root: Path | None) -> list[Path]:
    # Without "..", which would lead out of the folder of the results.
    absolute = [Path(os.path.abspath(path)) for path in paths]
    try:
        if root is None:
            root = Path(os.path.commonpath([p.parent for p in absolute]))
        return [Path(os.path.relpath(path, root)) for path in absolute]
    except ValueError:  # on several drives of Windows
        return [Path(path.name) for path in paths]


def _replace_duplicates(names: list[str], others: list[str]) -> list[str]:
    """Replace duplicate names by those of ``others`` until all differ."""
    names = list(names)
    while True:
        # Some file systems are not case-sensitive.
        count = Counter(name.lower() for name in names)
        duplicates = [
            index
            for index, name in enumerate(names)
            if count[name.lower()] > 1 and name != others[index]
        ]
        if not duplicates:
            return names
        for index in duplicates:
            names[index] = others[index]
