# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Images of the frames, small enough to be put into a page."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from aios.visualization import VideoFile

_CODES = {'.jpg': 'image/jpeg', '.mp4': 'video/mp4'}
_QUALITY = 82  # of JPEG
_GREY = 60


@dataclass(frozen=True)
class ImageTrack:
    """One video, or one image per frame.

    Args:
        paths: The files: one ``.mp4``, or a ``.jpg`` for each frame.
        kind: ``'video'`` or ``'images'``.
    """

    paths: tuple[Path, ...]
    kind: str

    @property
    def mime_type(self) -> str:
        """Type of the files, as browsers call it."""
        return _CODES[self.paths[0].suffix]


def make_image_track(
    images: Iterable[np.ndarray | None],
    folder: str | os.PathLike,
    times: Sequence[float] | np.ndarray,
    *,
    fps: float = 0.0,
    sound_of: str | os.PathLike | None = None,
    max_side: int = 640,
    use_video: bool | None = None,
) -> ImageTrack:
    """Write images as files that browsers show.

    Frames of a video become H.264, which takes a twentieth of the space;
    everything else becomes JPEG.

    Args:
        images: ``(H, W, 3)`` uint8 RGB for each frame, or ``None`` where
            there is none; read one after the other.
        folder: Where the files go.
        times: ``(F,)`` seconds from the first frame, ascending.
        fps: Frames per second; 0 for images that do not follow each other.
        sound_of: Video with the sound.
        max_side: Longest side of the result, pixels.
        use_video: Whether to make a video. Default: if frames follow each
            other.

    Raises:
        ValueError: If there is no image at all, their number is not that
            of the times, or ``max_side`` is too small.
    """
    if max_side < 16:
        raise ValueError(f'max_side must be at least 16, got {max_side}')
    if use_video is None:
        use_video = fps > 0
    folder = Path(folder)
    writer: _VideoTrack | _ImageTrack = (
        _VideoTrack(folder, fps, sound_of)
        if use_video
        else _ImageTrack(folder)
    )
    count = 0
    last: np.ndarray | None = None  # the size of what is missing
    for given in images:
        if given is not None:
            small = _reduced(given, max_side)
            if last is None:
                _write_grey(writer, small, times[:count])
            last = small
        if count < len(times):
            if given is not None:
                writer.write(small, float(times[count]))
            elif last is not None:
                _write_grey(writer, last, times[count : count + 1])
        count += 1
    writer.close()
    if count != len(times):
        raise ValueError(f'{count} images for {len(times)} frames')
    if last is None:
        raise ValueError('there is no image of any frame')
    return writer.track


def _reduced(image: np.ndarray, max_side: int) -> np.ndarray:
    scale = max_side / max(image.shape[:2])
    if scale >= 1:
        return image
    height, width = (max(1, round(scale * n)) for n in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _write_grey(
    writer: _VideoTrack | _ImageTrack,
    like: np.ndarray,
    times: Sequence[float] | np.ndarray,
) -> None:
    for seconds in times:
        writer.write(np.full_like(like, _GREY), float(seconds))


class _VideoTrack:
    def __init__(
        self, folder: Path, fps: float, sound_of: str | os.PathLike | None
    ) -> None:
        self._path = folder / 'images.mp4'
        self._video = VideoFile(self._path, fps, sound_of, quality=26)

    def write(self, image: np.ndarray, seconds: float) -> None:
        self._video.write(image, seconds)

    def close(self) -> None:
        self._video.close()

    @property
    def track(self) -> ImageTrack:
        return ImageTrack((self._path,), 'video')


class _ImageTrack:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths: list[Path] = []

    def write(self, image: np.ndarray, seconds: float) -> None:
        path = self._folder / f'{len(self._paths):06d}.jpg'
        options: list[Any] = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
        _, code = cv2.imencode('.jpg', image[..., ::-1], options)
        path.write_bytes(code.tobytes())
        self._paths.append(path)

    def close(self) -> None:
        """Nothing is open."""

    @property
    def track(self) -> ImageTrack:
        return ImageTrack(tuple(self._paths), 'images')
