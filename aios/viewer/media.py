# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Reduced images of the frames for the page."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from aios.visualization import VideoFile

_CODES = {'.jpg': 'image/jpeg', '.mp4': 'video/mp4'}
_QUALITY = 82  # of JPEG
_GRAY = 60


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
        """MIME type of the files."""
        return _CODES[self.paths[0].suffix]


def make_image_track(
    images: Iterable[np.ndarray | None],
    folder: str | os.PathLike,
    times: Sequence[float] | np.ndarray,
    *,
    fps: float = 0.0,
    sound_of: str | os.PathLike | None = None,
    max_side: int = 640,
) -> ImageTrack:
    """Write images as files for browsers.

    Frames of a video become H.264, which takes a twentieth of the space of
    JPEG; separate images become JPEG.

    Args:
        images: ``(H, W, 3)`` uint8 RGB for each frame, or ``None`` if
            missing; consumed one by one.
        folder: Folder of the files.
        times: ``(F,)`` seconds, ascending. The video begins with the first
            frame, and its sound with that time of ``sound_of``.
        fps: Frames per second; 0 for separate images.
        sound_of: Video with the sound.
        max_side: Longest side of the result, pixels.

    Raises:
        ValueError: If there is no image, the number of images differs from
            that of the times, or ``max_side`` is too small.
    """
    if max_side < 16:
        raise ValueError(f'max_side must be at least 16, got {max_side}')
    count, paths = 0, []
    video, file = None, Path(folder, 'images.mp4')
    if fps > 0:
        video = VideoFile(file, fps, sound_of, quality=26)
        paths.append(file)
    with video or nullcontext():
        for count, image in enumerate(_complete(images, max_side), 1):
            if count > len(times):
                continue
            if video is not None:
                video.write(image, float(times[count - 1]))
            else:
                paths.append(Path(folder, f'{count - 1:06d}.jpg'))
                paths[-1].write_bytes(_jpeg(image))
    if not count:
        raise ValueError('no frame has an image')
    if count != len(times):
        raise ValueError(f'got {count} images for {len(times)} frames')
    return ImageTrack(tuple(paths), 'images' if video is None else 'video')


def _complete(
    images: Iterable[np.ndarray | None], max_side: int
) -> Iterator[np.ndarray]:
    """Reduced images, gray if missing; none if all are missing."""
    gray: np.ndarray | None = None
    missing = 0  # before the first image, which gives the size
    for image in images:
        if image is not None:
            image = _reduced(image, max_side)
            gray = np.full_like(image, _GRAY)
            yield from [gray] * missing
            missing = 0
        if gray is None:
            missing += 1
        else:
            yield gray if image is None else image


def _reduced(image: np.ndarray, max_side: int) -> np.ndarray:
    scale = max_side / max(image.shape[:2])
    if scale >= 1:
        return image
    height, width = (max(1, round(scale * n)) for n in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def _jpeg(image: np.ndarray) -> bytes:
    options: list[Any] = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    _, code = cv2.imencode('.jpg', image[..., ::-1], options)
    return code.tobytes()
