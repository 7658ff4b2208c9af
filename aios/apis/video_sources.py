# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Frames of videos and cameras."""

from __future__ import annotations

import os
import queue
import re
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import cv2
import numpy as np

from .frames import (
    Frame,
    FrameSource,
    check_range,
    every_frame,
    file_stamp,
    is_utf8,
    safe_name,
)
from .images import as_image

_TICK = 0.1  # polling interval of the stop flag, seconds
_FAREWELL = 2.0  # seconds for the release of a camera
_MAX_FPS = 1000.0  # some files state the clock rate, such as 90000
_TOLERATED_FRAMES, _TOLERATED_SHARE = 5, 0.02
_ROUNDING = 2e-3  # seconds; some containers store milliseconds


class VideoSource(FrameSource):
    """A video file.

    Args:
        path: The file.
        interval: Use every n-th frame.
        start: Number of the first frame.
        stop: Number of the end frame, excluded.

    Raises:
        ValueError: If it cannot be opened or has no such frame, or a number
            is out of its range.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        interval: int = 1,
        start: int = 0,
        stop: int | None = None,
    ) -> None:
        super().__init__(str(path))
        check_range(interval, start, stop)
        self.path = self.sound = Path(path)
        self.interval, self.start, self.stop = interval, start, stop
        capture = self._open()
        fps = capture.get(cv2.CAP_PROP_FPS)
        self._announced = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        readable = capture.read()[0]
        capture.release()
        if not readable:
            raise ValueError(f'{path}: no frame can be read')
        if 0 < self._announced <= start:
            raise ValueError(
                f'{path}: has {self._announced} frames, start must be less, '
                f'got {start}'
            )
        self._source_fps = fps if 0 < fps <= _MAX_FPS else 25.0
        self.fps = self._source_fps / interval

    def _open(self) -> cv2.VideoCapture:
        if not is_utf8(str(self.path)):
            raise ValueError(
                f'{safe_name(str(self.path))}: OpenCV needs file names in '
                'UTF-8; rename the video'
            )
        capture = cv2.VideoCapture(str(self.path))
        if not capture.isOpened():
            raise ValueError(
                f'{self.path}: OpenCV cannot open this video; it may be '
                'truncated, or sound only. Otherwise convert it, for example '
                'to mp4 (H.264)'
            )
        return capture

    def __len__(self) -> int:
        if self._announced < 1:
            return 0
        stop = min(self._announced, self.stop or self._announced)
        return len(range(self.start, stop, self.interval))

    def frames(  # noqa: D102
        self,
        wanted: Callable[[int], bool] = every_frame,
        begin: int = 0,
        end: int | None = None,
    ) -> Iterator[Frame]:
        capture, number, index = self._open(), 0, 0
        clock = _Clock(self._source_fps)
        try:
            # Only grabbing in order is exact: seeking lands on key frames.
            while (end is None or index < end) and number != self.stop:
                if not capture.grab():
                    self._check_length(number, clock)
                    return
                seconds = clock.read(capture, number)
                offset = number - self.start
                if offset >= 0 and offset % self.interval == 0:
                    if index >= begin:
                        image = None
                        if wanted(index):
                            image = self._image(capture, number)
                        yield _frame(index, number, image, seconds)
                    index += 1
                number += 1
        finally:
            capture.release()

    def _image(
        self, capture: cv2.VideoCapture, number: int
    ) -> np.ndarray | None:
        done, image = capture.retrieve()
        if done:
            return as_image(image)
        self.problems.append(f'{self.path}: frame {number} cannot be decoded')
        return None

    def _check_length(self, count: int, clock: _Clock) -> None:
        """Report a video that ends early; a few missing frames are usual."""
        missing = min(self._announced, self.stop or self._announced) - count
        tolerated = max(_TOLERATED_FRAMES, _TOLERATED_SHARE * self._announced)
        if missing <= tolerated:
            return
        first = _first_time(self.path)
        if first is not None:
            # OpenCV announces the duration times the rate, which may change.
            end = (clock.end + first) * self._source_fps
            if self._announced - end <= tolerated:
                return
        self.problems.append(
            f'{self.path}: ends after {count} of {self._announced} '
            'frames; it is truncated or damaged'
        )

    def frame_name(self, index: int) -> str:  # noqa: D102
        return f'{self.start + index * self.interval:06d}'

    def identity(self) -> list[str]:  # noqa: D102
        options = f'{self.start}:{self.stop}:{self.interval}'
        return [f'{self.path.name}:{file_stamp(self.path)}:{options}']


def _frame(
    index: int, number: int, image: np.ndarray | None, seconds: float
) -> Frame:
    size = (0, 0) if image is None else _size(image)
    return Frame(index, f'{number:06d}', image, size, number, seconds)


def _first_time(path: Path) -> float | None:
    """Seconds of the first frame, if the file has no number of frames."""
    import av

    with suppress(av.FFmpegError, OSError), av.open(str(path)) as container:
        stream = container.streams.video[0]
        if not stream.frames and stream.time_base is not None:
            return float((stream.start_time or 0) * stream.time_base)
    return None


class _Clock:
    """Times of the frames of a video.

    Phones record at a rate that changes with the light, so the times of the
    file count where they differ from the constant rate.
    """

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self._last = -1 / fps

    @property
    def end(self) -> float:
        """Seconds at the end of the last frame."""
        return self._last + 1 / self._fps

    def read(self, capture: cv2.VideoCapture, number: int) -> float:
        """Seconds of the frame grabbed last, in ascending order."""
        seconds = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        constant = number / self._fps
        if abs(seconds - constant) < _ROUNDING:
            seconds = constant
        elif not seconds > self._last:  # the file has no times
            seconds = self._last + 1 / self._fps
        self._last = seconds
        return seconds


class CameraSource(FrameSource):
    """A camera, a stream from the network, or a video file at its own speed.

    Args:
        device: Number of the camera, or another argument of
            :class:`cv2.VideoCapture`, such as an address. A password in it
            is not part of the name.
        max_frames: Number of frames after which it ends.

    Raises:
        ValueError: If it cannot be opened, or ``max_frames`` is not positive.
    """

    live = True

    def __init__(
        self, device: int | str = 0, max_frames: int | None = None
    ) -> None:
        address = re.sub('(?<=://)[^/]*@', '', str(device))
        super().__init__(f'camera {address}')  # results name the source
        if max_frames is not None and max_frames < 1:
            raise ValueError(f'max_frames must be >= 1, got {max_frames}')
        self.device = device
        self.max_frames = max_frames
        self._stopped = False
        self._capture = cv2.VideoCapture(device)
        if not self._capture.isOpened():
            raise ValueError(
                f'{self.name}: cannot be opened; cameras are numbered from '
                '0, and another program may be using this one'
            )
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps <= _MAX_FPS else 25.0
        # Cameras and streams are as fast as they are.
        self._is_file = Path(str(device)).is_file()

    def stop(self) -> None:
        """End :meth:`frames` at the next frame."""
        self._stopped = True

    def frames(  # noqa: D102
        self,
        wanted: Callable[[int], bool] = every_frame,
        begin: int = 0,
        end: int | None = None,
    ) -> Iterator[Frame]:
        limits = [n for n in (end, self.max_frames) if n is not None]
        last = min(limits, default=None)
        newest: queue.Queue = queue.Queue(1)
        arguments = self._capture, newest, lambda: self._stopped
        # A daemon thread: a blocked camera must not keep the program alive.
        reader = Thread(target=_read_camera, args=arguments, daemon=True)
        start, index = time.monotonic(), 0
        reader.start()
        try:
            while not self._stopped and (last is None or index < last):
                try:
                    image, seconds = newest.get(timeout=_TICK)
                except queue.Empty:
                    continue
                if image is None:
                    self.notes.append(
                        f'{self.name}: ended after {index} frames'
                    )
                    return
                if self._is_file:
                    seconds = start + index / self.fps
                    time.sleep(max(0.0, seconds - time.monotonic()))
                image = as_image(image, self.name)
                name, size = f'{index:06d}', _size(image)
                yield Frame(index, name, image, size, index, seconds - start)
                index += 1
        finally:
            self._stopped = True
            reader.join(_FAREWELL)


def _read_camera(
    capture: cv2.VideoCapture,
    newest: queue.Queue,
    is_stopped: Callable[[], bool],
) -> None:
    """Put images and their times into a queue, and ``None`` at the end."""
    done = True
    while done and not is_stopped():
        done, image = capture.read()
        item = image if done else None, time.monotonic()
        while not is_stopped():
            with suppress(queue.Full):
                newest.put(item, timeout=_TICK)
                break
    capture.release()


def _size(image: np.ndarray) -> tuple[int, int]:
    return image.shape[1], image.shape[0]
