# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Videos that keep the frame rate and the sound of their source.

Frames are written to ``NAME.partial.mp4``, a fragmented MP4, which is playable
at any time, even after the process was killed. Closing converts it to an
ordinary file with sound, which is verified before it gets its name; after an
error the partial file is kept.

PyAV includes FFmpeg.
"""

from __future__ import annotations

import heapq
import logging
import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from .drawing import fit_into

VIDEO_SUFFIXES = ('.mp4', '.mov', '.m4v')

Packets = Iterator[tuple[float, Any]]

_MP4_AUDIO = ('aac', 'mp3', 'ac3', 'eac3', 'alac', 'opus', 'flac')
_TICKS = 10_000  # least resolution of the clock, ticks per second
_MIN_GAP = 1e-3  # seconds between frames
_MIN_FPS = 1e-3  # smaller rates would be rounded to 0


def frame_rate(fps: float | Fraction) -> Fraction:
    """Exact rate of a rounded one: 29.97 is 30000 / 1001.

    Args:
        fps: Frames per second.

    Raises:
        ValueError: If it is not positive, or less than 0.001.
    """
    if not _MIN_FPS <= fps < math.inf:
        raise ValueError(
            f'fps must be positive, at least {_MIN_FPS}, got {fps}'
        )
    if isinstance(fps, Fraction):
        return fps
    nominal = round(fps * 1.001)
    if nominal and abs(fps - round(fps)) > 1e-6:
        ntsc = Fraction(nominal * 1000, 1001)
        if abs(fps - ntsc) < 0.0051:
            return ntsc
    return Fraction(fps).limit_denominator(1000)


class VideoFile:
    """An MP4 file that is written frame by frame.

    All frames are resized to the size of the first one, keeping their aspect
    ratio: the rest is black. H.264 needs even sizes, so the last column or
    row is repeated if needed.

    Args:
        path: The file, ``.mp4``, ``.mov`` or ``.m4v``.
        fps: Frames per second.
        sound_of: Video whose sound, if any, is copied.
        overwrite: Replace an existing file.
        quality: Constant rate factor of H.264: 18 is visually nearly lossless,
            28 is coarse.

    Raises:
        FileExistsError: If the file exists and ``overwrite`` is False.
        ValueError: If the suffix or ``fps`` is not allowed.
    """

    def __init__(
        self,
        path: str | os.PathLike,
        fps: float | Fraction,
        sound_of: str | os.PathLike | None = None,
        overwrite: bool = False,
        quality: int = 20,
    ) -> None:
        self.path = Path(path)
        self.fps = frame_rate(fps)
        if self.path.suffix.lower() not in VIDEO_SUFFIXES:
            raise ValueError(
                f'{path}: unknown suffix, allowed are '
                f'{", ".join(VIDEO_SUFFIXES)}'
            )
        if self.path.exists() and not overwrite:
            raise FileExistsError(f'{path} exists')
        self.partial = self.path.with_suffix(f'.partial{self.path.suffix}')
        self._sound_of = sound_of
        self._quality = quality
        self._encoder: _Encoder | None = None
        self._closed = False
        self._count = 0
        self._start = self._last = self._end = 0.0

    def write(self, image: np.ndarray, seconds: float | None = None) -> None:
        """Append a frame.

        Args:
            image: ``(H, W, 3)`` uint8 RGB.
            seconds: Time in the source. Without it, or if it is not after the
                previous frame, the constant rate applies.

        Raises:
            ValueError: If the file is closed or the image is not RGB.
        """
        if self._closed:
            raise ValueError(f'{self.path} is closed')
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(
                'a frame must be (H, W, 3) uint8, got '
                f'{image.shape} {image.dtype}'
            )
        if self._encoder is None:
            self.partial.parent.mkdir(parents=True, exist_ok=True)
            size = image.shape[1], image.shape[0]
            self._encoder = _Encoder(
                self.partial, self.fps, size, self._quality
            )
            self._start = self._end = seconds or 0.0
            self._last = self._start - _MIN_GAP
        if seconds is None or seconds < self._last + _MIN_GAP:
            seconds = self._end
        self._encoder.write(image, seconds - self._start)
        self._count += 1
        self._last = seconds
        self._end = seconds + float(1 / self.fps)

    def __enter__(self) -> VideoFile:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self.close()
        else:
            self.abandon()

    def close(self) -> None:
        """Finish the file; without frames no file is made.

        Raises:
            OSError: If the file could not be written completely. The frames
                written so far stay in :attr:`partial`.
        """
        if self._closed:
            return
        self._closed = True
        if self._encoder is None:
            return
        self._encoder.close()
        finished = self.path.with_suffix(f'.final{self.path.suffix}')
        span = self._start, self._end
        try:
            _finish(self.partial, finished, self._sound_of, span)
            _check_packets(finished, self._count)
            os.replace(finished, self.path)
        finally:
            finished.unlink(missing_ok=True)
        self.partial.unlink()

    def abandon(self) -> None:
        """Stop; the frames written so far stay in :attr:`partial`."""
        if not self._closed and self._encoder is not None:
            # After another error, such as a full disk, closing may fail, too.
            with suppress(Exception):
                self._encoder.close()
        self._closed = True


def _check_packets(path: Path, count: int) -> None:
    """Raise ``OSError`` unless a video has ``count`` non-empty packets."""
    import av

    found = 0
    try:
        with av.open(str(path)) as container:
            for packet in container.demux():
                found += packet.stream.type == 'video' and packet.size > 0
    except (av.FFmpegError, OSError) as error:
        raise _incomplete(path, found, count) from error
    if found != count:
        raise _incomplete(path, found, count)


def _incomplete(path: Path, found: int, count: int) -> OSError:
    return OSError(
        f'{path}: only {max(found, 0)} of {count} frames were written; the '
        'disk may be full'
    )


def _even(image: np.ndarray) -> np.ndarray:
    bottom, right = image.shape[0] % 2, image.shape[1] % 2
    return np.pad(image, ((0, bottom), (0, right), (0, 0)), 'edge')


class _Encoder:
    """Encoder of H.264 in a fragmented MP4, which is readable at any time."""

    def __init__(
        self, path: Path, fps: Fraction, size: tuple[int, int], quality: int
    ) -> None:
        import av

        self._size = size
        self._clock = Fraction(
            1, fps.numerator * math.ceil(_TICKS / fps.numerator)
        )
        self._container: Any = av.open(
            str(path),
            'w',
            format='mp4',
            options={
                'movflags': 'frag_keyframe+empty_moov+default_base_moof',
                'video_track_timescale': str(self._clock.denominator),
                # Otherwise packets of small images stay in a buffer.
                'flush_packets': '1',
            },
        )
        stream: Any = self._container.add_stream('libx264', rate=fps)
        stream.width = size[0] + size[0] % 2
        stream.height = size[1] + size[1] % 2
        stream.pix_fmt = 'yuv420p'
        # A fragment ends at a key frame, so at most two seconds are lost.
        stream.gop_size = max(1, round(2 * fps))
        # No B-frames: they would shift the video against the sound, as a
        # fragmented file cannot store its start time.
        stream.options = {
            'crf': str(quality),
            'preset': 'veryfast',
            'bf': '0',
        }
        context = stream.codec_context
        context.time_base = self._clock
        # BT.709, limited range.
        context.colorspace = context.color_primaries = context.color_trc = 1
        context.color_range = 1
        self._stream = stream
        self._av = av

    def write(self, image: np.ndarray, seconds: float) -> None:
        image = _even(_sized(image, self._size))
        frame = self._av.VideoFrame.from_ndarray(
            np.ascontiguousarray(image), 'rgb24'
        )
        frame = frame.reformat(
            format='yuv420p', src_colorspace='ITU709', dst_colorspace='ITU709'
        )
        frame.time_base = self._clock
        frame.pts = round(seconds / self._clock)
        for packet in self._stream.encode(frame):
            self._container.mux(packet)

    def close(self) -> None:
        for packet in self._stream.encode(None):
            self._container.mux(packet)
        self._container.close()


def _sized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    if (image.shape[1], image.shape[0]) == size:
        return image
    sized = np.zeros((size[1], size[0], 3), np.uint8)
    fit_into(image, sized)
    return sized


def _finish(
    source: Path,
    target: Path,
    sound_of: str | os.PathLike | None,
    span: tuple[float, float],
) -> None:
    """Copy the images and the sound of a time span into a new file."""
    import av

    with ExitStack() as stack:
        images = stack.enter_context(av.open(str(source)))
        out = stack.enter_context(
            av.open(
                str(target),
                'w',
                format='mp4',
                options={'movflags': 'faststart'},
            )
        )
        packets = [_images(images, out)]
        if sound_of is not None:
            try:
                sound = stack.enter_context(av.open(str(sound_of)))
                packets.append(_sound(sound, out, span))
            except (av.FFmpegError, OSError, ValueError) as error:
                _warn_of_silence(sound_of, error)
        for _, packet in heapq.merge(*packets, key=lambda item: item[0]):
            out.mux(packet)


def _images(source: Any, out: Any) -> Packets:
    """Packets of the video with their times."""
    stream = source.streams.video[0]
    copy = out.add_stream_from_template(stream)

    def packets() -> Packets:
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = copy
                yield float(packet.dts * packet.time_base), packet

    return packets()


def _sound(source: Any, out: Any, span: tuple[float, float]) -> Packets:
    """Packets of the sound with their times, recoded if MP4 needs it."""
    import av

    if not source.streams.audio:
        return iter(())
    stream = source.streams.audio[0]
    videos = source.streams.video
    start, end = span
    if videos and videos[0].start_time is not None:
        offset = float(videos[0].start_time * videos[0].time_base)
        start, end = start + offset, end + offset
    name = stream.codec_context.name
    copied = name in _MP4_AUDIO
    if copied:
        target = out.add_stream_from_template(stream)
    else:
        target = out.add_stream('aac', rate=stream.codec_context.sample_rate)

    def pieces() -> Packets:
        """Packets to copy, or frames to encode, in the span."""
        found = source.demux(stream) if copied else source.decode(stream)
        for piece in found:
            if piece.pts is None:
                continue
            seconds = float(piece.pts * piece.time_base)
            if seconds >= end:
                return
            if seconds >= start:
                shift = round(start / piece.time_base)
                piece.pts -= shift
                if copied:
                    piece.dts = piece.pts
                yield seconds - start, piece

    def packets() -> Packets:
        seconds = 0.0
        try:
            for seconds, piece in pieces():
                if copied:
                    piece.stream = target
                for packet in [piece] if copied else target.encode(piece):
                    yield seconds, packet
            for packet in [] if copied else target.encode(None):
                yield seconds, packet
        except av.FFmpegError as error:
            _warn_of_silence(source.name, error)

    return packets()


def _warn_of_silence(name: Any, error: Exception) -> None:
    logging.getLogger(__name__).warning(
        '%s: audio was not copied: %s', name, error
    )
