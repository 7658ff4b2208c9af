# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Frame rate, times, colors and sound of written videos."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from aios.visualization import VideoFile
from aios.visualization.video_file import frame_rate

FPS, RATE, COUNT = 25, 16_000, 50
FLASH = 30  # frame that is white, when the beep begins


def _image(value: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    return np.full((size[1], size[0], 3), value, np.uint8)


@pytest.fixture(scope='module')
def talking(tmp_path_factory) -> Path:
    """Two seconds of black and silence, with a flash and a beep."""
    path = tmp_path_factory.mktemp('source') / 'talking.mp4'
    with av.open(str(path), 'w') as container:
        video = container.add_stream('libx264', rate=FPS)
        video.width, video.height, video.pix_fmt = 64, 48, 'yuv420p'
        sound = container.add_stream('aac', rate=RATE)
        sound.layout = 'mono'
        for number in range(COUNT):
            image = _image(255 if number == FLASH else 0)
            frame = av.VideoFrame.from_ndarray(image, 'rgb24')
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        times = np.arange(COUNT * RATE // FPS) / RATE
        wave = np.sin(2 * np.pi * 1000 * times) * (times >= FLASH / FPS)
        frame = av.AudioFrame.from_ndarray(
            (wave * 20_000).astype(np.int16)[None], 's16', 'mono'
        )
        frame.sample_rate = RATE
        resampler = av.AudioResampler('fltp', 'mono', RATE)
        for part in resampler.resample(frame):
            container.mux(sound.encode(part))
        container.mux(sound.encode(None))
    return path


def _times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)]


def _flash(path: Path) -> float:
    """Second in which the image is white."""
    with av.open(str(path)) as container:
        frames = [
            (frame.to_ndarray(format='rgb24').mean(), frame.time)
            for frame in container.decode(video=0)
        ]
    return max(frames)[1]


def _beep(path: Path) -> float:
    """Second in which the sound begins."""
    with av.open(str(path)) as container:
        pieces, start = [], None
        for frame in container.decode(audio=0):
            start = frame.time if start is None else start
            pieces.append(frame.to_ndarray().reshape(-1))
    wave = np.concatenate(pieces)
    assert start is not None
    return start + int(np.argmax(np.abs(wave) > 0.2)) / RATE


def _copy(source: Path, target: Path, first: int = 0, last: int = COUNT):
    """Write the frames of a video again, as a demo does."""
    with (
        av.open(str(source)) as container,
        VideoFile(target, FPS, sound_of=source) as video,
    ):
        for number, frame in enumerate(container.decode(video=0)):
            if first <= number < last:
                image = frame.to_ndarray(format='rgb24')
                video.write(image, number / FPS)


@pytest.mark.parametrize('first', [0, 20])
def test_sound_stays_with_the_images(talking, tmp_path, first) -> None:
    """Also if only a part of the video was used."""
    path = tmp_path / 'copy.mp4'
    _copy(talking, path, first, 45)
    times = _times(path)
    np.testing.assert_allclose(times, np.arange(45 - first) / FPS, atol=1e-4)
    assert _flash(path) == pytest.approx((FLASH - first) / FPS, abs=1e-3)
    # A packet of sound is 64 ms long, and the codec smears over one.
    assert _beep(path) == pytest.approx((FLASH - first) / FPS, abs=0.07)
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.name == 'aac'
        rate = container.streams.video[0].average_rate
    assert rate == FPS


def test_a_video_without_sound_is_fine(talking, tmp_path) -> None:
    silent = tmp_path / 'silent.mp4'
    with VideoFile(silent, FPS) as video:
        video.write(_image(9))
    _copy(silent, tmp_path / 'copy.mp4')
    with av.open(str(tmp_path / 'copy.mp4')) as container:
        assert not container.streams.audio


def test_a_damaged_source_of_sound_costs_the_sound_only(tmp_path) -> None:
    (tmp_path / 'source.mp4').write_bytes(b'no video')
    path = tmp_path / 'video.mp4'
    with VideoFile(path, FPS, sound_of=tmp_path / 'source.mp4') as video:
        video.write(_image(9))
    assert _times(path) == [0]


@pytest.mark.parametrize(
    ('fps', 'wanted'),
    [
        (29.97, Fraction(30000, 1001)),
        (23.976, Fraction(24000, 1001)),
        (59.94006, Fraction(60000, 1001)),
        (25, Fraction(25)),
        (12.5, Fraction(25, 2)),
    ],
)
def test_rates_of_television_are_exact(fps, wanted, tmp_path) -> None:
    assert frame_rate(fps) == wanted
    path = tmp_path / 'video.mp4'
    with VideoFile(path, fps) as video:
        for value in range(5):
            video.write(_image(value))
    assert _times(path)[-1] == pytest.approx(4 / float(wanted), abs=1e-4)


def test_uneven_times_are_kept(tmp_path) -> None:
    """Phones record with a rate that changes."""
    times = [3.0, 3.04, 3.2, 3.21, 3.21, 4.0]
    path = tmp_path / 'video.mp4'
    with VideoFile(path, 30) as video:
        for seconds in times:
            video.write(_image(100), seconds)
    expected = np.array([0, 0.04, 0.2, 0.21, 0.21 + 1 / 30, 1])
    np.testing.assert_allclose(_times(path), expected, atol=1e-3)


def test_colors_and_odd_sizes(tmp_path) -> None:
    colors = [(200, 30, 30), (30, 180, 30), (40, 60, 220)]
    path = tmp_path / 'video.mp4'
    with VideoFile(path, 10) as video:
        for color in colors:
            video.write(np.full((33, 51, 3), color, np.uint8))
    capture = cv2.VideoCapture(str(path))
    for color in colors:
        read, image = capture.read()
        assert read
        assert image.shape == (34, 52, 3)
        seen = image[17, 26, ::-1].astype(int)
        assert np.abs(seen - color).max() < 20
    assert not capture.read()[0]


def test_other_sizes_keep_their_aspect_ratio(tmp_path) -> None:
    path = tmp_path / 'video.mp4'
    with VideoFile(path, 10) as video:
        video.write(_image(255))
        video.write(_image(255, (24, 48)))
    with av.open(str(path)) as container:
        _, upright = container.decode(video=0)
    row = upright.to_ndarray(format='gray')[24]
    assert row[20:44].min() > 200
    assert row[:16].max() < 50 and row[48:].max() < 50


def test_what_was_written_can_be_played_before_the_end(tmp_path) -> None:
    """As after a crash: the file is never closed."""
    video = VideoFile(tmp_path / 'video.mp4', 10)
    for value in range(60):
        video.write(_image(value))
    assert not video.path.exists()
    assert len(_times(video.partial)) >= 20
    video.close()
    assert len(_times(video.path)) == 60
    assert [path.name for path in tmp_path.iterdir()] == ['video.mp4']


def test_after_an_error_it_stays_aside(tmp_path) -> None:
    path = tmp_path / 'video.mp4'
    with (
        pytest.raises(KeyboardInterrupt),
        VideoFile(path, 10) as video,
    ):
        for value in range(30):
            video.write(_image(value))
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == ['video.partial.mp4']
    assert len(_times(video.partial)) == 30


@pytest.mark.parametrize('kilobytes', [10, 44])
def test_a_full_disk_gives_no_video(tmp_path, kilobytes) -> None:
    """A limit for the size of files stands for the disk."""
    script = f"""
import resource
import signal
import numpy as np
from aios.visualization import VideoFile
random = np.random.default_rng(0)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({kilobytes << 10},) * 2)
with VideoFile('video.mp4', 10) as video:
    for _ in range(30):
        noise = random.integers(0, 256, (64, 64, 3), np.uint8)
        video.write(noise)
"""
    result = subprocess.run(
        [sys.executable, '-c', script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 1
    assert 'Error' in result.stderr
    assert not (tmp_path / 'video.mp4').exists()
    assert not (tmp_path / 'video.final.mp4').exists()


def test_existing_files_stay(tmp_path) -> None:
    path = tmp_path / 'video.mp4'
    path.write_text('mine')
    with pytest.raises(FileExistsError):
        VideoFile(path, 10)
    assert path.read_text() == 'mine'
    VideoFile(path, 10, overwrite=True).close()  # no frame: nothing to say
    assert path.read_text() == 'mine'


def test_what_is_no_video(tmp_path) -> None:
    with pytest.raises(ValueError, match='unknown suffix'):
        VideoFile(tmp_path / 'video.gif', 10)
    for fps in (0, 4e-4, np.inf):
        with pytest.raises(ValueError, match='fps must be positive, at least'):
            VideoFile(tmp_path / 'video.mp4', fps)
    video = VideoFile(tmp_path / 'video.mp4', 10)
    with pytest.raises(ValueError, match=r'\(5, 5\) uint8'):
        video.write(np.zeros((5, 5), np.uint8))
    video.close()
    with pytest.raises(ValueError, match='closed'):
        video.write(_image(0))
