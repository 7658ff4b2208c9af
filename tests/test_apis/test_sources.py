# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Frames of images, folders, arrays, videos and cameras."""

from __future__ import annotations

import os
import sys
import threading
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
from api_images import SIZE, draw_image
from PIL import Image

from aios.apis import open_sources, video_sources
from aios.apis.exif import exif_focal_length
from aios.apis.images import as_image, read_image
from aios.apis.record import source_folders
from aios.apis.sources import CameraSource, ImageSource, VideoSource
from aios.apis.threads import prefetch

DATA = Path(__file__).parents[1] / 'data'


def _write(path: Path, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), draw_image(seed))
    return path


def _names(inputs: object, **options: object) -> list[str]:
    return [
        frame.name
        for source in open_sources(inputs, **options)
        for frame in source.frames()
    ]


class TestNames:
    def test_same_stems_keep_their_suffix(self, tmp_path: Path):
        for name in ('a.jpg', 'a.png', 'b.png'):
            _write(tmp_path / name)
        assert _names(tmp_path) == ['a.jpg', 'a.png', 'b']

    def test_a_stem_that_looks_like_a_file(self, tmp_path: Path):
        for name in ('a.jpg', 'a.png', 'a.jpg.png'):
            _write(tmp_path / name)
        names = _names(tmp_path)
        assert len(set(names)) == 3
        assert 'a.jpg.png' in names

    def test_several_drives_of_windows(self, tmp_path: Path, monkeypatch):
        """Which have no common folder."""

        def fail(_: object) -> None:
            raise ValueError("Paths don't have the same drive")

        paths = [_write(tmp_path / name) for name in ('c/a.png', 'd/a.png')]
        monkeypatch.setattr(os.path, 'commonpath', fail)
        assert _names(paths) == ['a.png_0', 'a.png_1']

    def test_sub_folders_stay_apart(self, tmp_path: Path):
        for name in ('a.jpg', 'x/a.jpg', 'y/a.jpg'):
            _write(tmp_path / name)
        assert _names(tmp_path, recursive=True) == ['a', 'x/a', 'y/a']
        files = [tmp_path / 'x/a.jpg', tmp_path / 'y/a.jpg']
        assert _names(files) == ['x/a', 'y/a']
        assert _names(tmp_path / 'x/a.jpg') == ['a']
        # Results are written under these names.
        files[1] = tmp_path / 'x/../y/a.jpg'
        assert _names(files) == ['x/a', 'y/a']

    def test_names_that_are_no_text(self, tmp_path: Path):
        """On Linux a name may be any bytes."""
        path = tmp_path / os.fsdecode(b'caf\xe9.png')
        _write(tmp_path / 'a.png').rename(path)
        assert _names(tmp_path) == ['caf%e9']
        (source,) = open_sources(tmp_path)
        assert next(source.frames()).image.shape == draw_image(0).shape

    def test_long_names(self, tmp_path: Path):
        for end in 'ab':
            name = f'{"é" * 120}{end}.png'  # 245 bytes
            _write(tmp_path / 'x.png').rename(tmp_path / name)
        names = _names(tmp_path)
        assert len(set(names)) == 2
        assert max(len(name.encode()) for name in names) <= 200

    def test_videos_that_cannot_be_opened_are_told(self, tmp_path, make_video):
        odd = tmp_path / os.fsdecode(b'\xff.avi')
        make_video(tmp_path / 'a.avi', 3).rename(odd)
        with pytest.raises(ValueError, match='%ff.*UTF-8; rename'):
            open_sources(odd)
        make_video(tmp_path / 'b.avi', 3)
        (tmp_path / 'c.avi').write_text('no video')
        with pytest.raises(ValueError, match='frame_interval'):
            open_sources(tmp_path, frame_interval=0)
        (source,) = open_sources(tmp_path)
        assert len([*source.frames()]) == 3
        assert [p.partition(': ')[0][-5:] for p in source.problems] == [
            *('c.avi', 'f.avi')
        ]

    def test_the_same_file_twice(self, tmp_path: Path):
        path = _write(tmp_path / 'a.png')
        assert len(set(_names([path, path]))) == 2


class TestImages:
    """Whatever the file is like, persons see this image."""

    wanted = draw_image(3)

    def check(self, path: Path, tolerance: float = 0) -> None:
        image, size = read_image(path)
        assert size == SIZE
        assert image.dtype == np.uint8 and image.flags.c_contiguous
        difference = np.abs(image.astype(int) - self.wanted)
        assert difference.mean() <= tolerance

    @pytest.mark.parametrize('suffix', ['.png', '.bmp', '.tif', '.webp'])
    def test_formats(self, tmp_path: Path, suffix: str):
        path = tmp_path / f'a{suffix}'
        cv2.imwrite(str(path), self.wanted)
        self.check(path, tolerance=3 if suffix == '.webp' else 0)

    @pytest.mark.parametrize('orientation', range(1, 9))
    @pytest.mark.parametrize('suffix', ['.jpg', '.png', '.tif', '.avif'])
    def test_orientation(self, tmp_path: Path, suffix: str, orientation: int):
        """Stored turned, as cameras do; it must come out upright."""
        turn = {
            1: None,
            2: Image.Transpose.FLIP_LEFT_RIGHT,
            3: Image.Transpose.ROTATE_180,
            4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_90,
            7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_270,
        }[orientation]
        stored = Image.fromarray(self.wanted[..., ::-1])
        if turn is not None:
            stored = stored.transpose(turn)
        exif = Image.Exif()
        exif[0x112] = orientation
        path = tmp_path / f'a{suffix}'
        stored.save(path, exif=exif)
        self.check(path, tolerance=6 if suffix in ('.jpg', '.avif') else 0)

    def test_names_without_suffix(self, tmp_path: Path, monkeypatch):
        """OpenCV does not open all names on Windows."""
        monkeypatch.setattr(cv2, 'haveImageReader', None)
        _write(tmp_path / 'a.png').rename(tmp_path / 'é')
        (source,) = open_sources(tmp_path / 'é')
        assert next(source.frames()).image.shape == self.wanted.shape

    def test_gray(self, tmp_path: Path):
        gray = self.wanted[..., 0]
        cv2.imwrite(str(tmp_path / 'a.png'), gray)
        image, _ = read_image(tmp_path / 'a.png')
        assert (image == gray[..., None]).all()

    def test_transparency_is_dropped(self, tmp_path: Path):
        alpha = np.full((*self.wanted.shape[:2], 1), 7, np.uint8)
        path = tmp_path / 'a.png'
        cv2.imwrite(str(path), np.concatenate([self.wanted, alpha], 2))
        self.check(path)

    def test_16_bits(self, tmp_path: Path):
        deep = self.wanted.astype(np.uint16) * 256 + 99
        cv2.imwrite(str(tmp_path / 'a.png'), deep)
        self.check(tmp_path / 'a.png')

    def test_photograph_of_a_phone(self):
        """A HEIC file that is turned, as iPhones write them.

        Of pillow-heif 1.8, with 64 x 48 pixels, ``Orientation`` 6 and
        ``FocalLengthIn35mmFilm`` 26.
        """
        pytest.importorskip('pillow_heif')
        path = DATA / 'images/phone.heic'
        image, size = read_image(path)
        assert size == (48, 64)
        assert image.shape == (64, 48, 3)
        # Green is one corner, blue grows to the right, red to the bottom.
        corners = image[[2, 2, -3, -3], [2, -3, 2, -3]].astype(int)
        wanted = [0, 0, 0], [255, 200, 0], [0, 0, 255], [255, 0, 255]
        np.testing.assert_allclose(corners, wanted, atol=20)
        focal = exif_focal_length(path, size)
        assert focal.pixels == pytest.approx(26 * 80 / np.hypot(36, 24))

    def test_photograph_of_a_phone_without_its_package(self, monkeypatch):
        monkeypatch.setitem(sys.modules, 'pillow_heif', None)
        with pytest.raises(ValueError, match='pip install pillow-heif'):
            read_image(DATA / 'images/phone.heic')

    def test_huge_ones_are_reduced(self, tmp_path: Path):
        large = cv2.resize(self.wanted, None, fx=4, fy=4)
        cv2.imwrite(str(tmp_path / 'a.png'), large)
        image, size = read_image(tmp_path / 'a.png', SIZE[0] * SIZE[1])
        assert image.shape == self.wanted.shape
        assert size == (4 * SIZE[0], 4 * SIZE[1])
        assert np.abs(image.astype(int) - self.wanted).mean() < 3

    def test_a_huge_one_that_lies_on_its_side(self, tmp_path: Path):
        large = cv2.resize(self.wanted, None, fx=4, fy=4)
        exif = Image.Exif()
        exif[0x112] = 6
        stored = Image.fromarray(large[..., ::-1])
        stored = stored.transpose(Image.Transpose.ROTATE_90)
        stored.save(tmp_path / 'a.jpg', exif=exif)
        image, size = read_image(tmp_path / 'a.jpg', SIZE[0] * SIZE[1])
        assert image.shape == self.wanted.shape
        assert size == (4 * SIZE[0], 4 * SIZE[1])

    @pytest.mark.parametrize(
        ('content', 'message'),
        [(b'', '0 bytes'), (b'no image', 'unknown image format')],
    )
    def test_no_image(self, tmp_path: Path, content: bytes, message: str):
        (tmp_path / 'a.png').write_bytes(content)
        with pytest.raises(ValueError, match=rf'a\.png.*{message}'):
            read_image(tmp_path / 'a.png')


class TestArrays:
    def test_kinds(self):
        image = draw_image(0)
        assert (as_image(image.astype(float)) == image).all()
        assert not as_image(np.zeros((4, 4, 3))).any()  # a black frame
        assert (as_image(image.astype(np.uint16) << 8) == image).all()
        assert (as_image(image[..., 0])[..., 2] == image[..., 0]).all()
        alpha = np.concatenate([image, image[..., :1]], axis=2)
        assert (as_image(alpha) == image).all()

    @pytest.mark.parametrize(
        'image',
        [
            np.zeros((3, 4, 2), np.uint8),
            np.zeros((0, 4, 3), np.uint8),
            np.full((4, 4, 3), 0.5),
            np.full((4, 4, 3), np.nan),
            np.zeros((4, 4, 3), np.int64),
        ],
        ids=['channels', 'empty', 'up to 1', 'not finite', 'type'],
    )
    def test_no_image(self, image: np.ndarray):
        with pytest.raises(ValueError, match=r'inputs\[1\]'):
            open_sources([draw_image(0), image])

    def test_a_batch(self):
        (source,) = open_sources(np.stack([draw_image(0), draw_image(1)]))
        assert [f.name for f in source.frames()] == ['000000', '000001']


class TestVideo:
    def test_frames(self, tmp_path: Path, make_video):
        path = make_video(tmp_path / 'v.avi', 12, fps=10)
        (source,) = open_sources(path, frame_interval=3, start=2, end=10)
        frames = list(source.frames())
        assert len(source) == len(frames) == 3
        assert [f.source_frame for f in frames] == [2, 5, 8]
        assert [f.name for f in frames] == ['000002', '000005', '000008']
        assert [source.frame_name(i) for i in range(3)] == [
            f.name for f in frames
        ]
        assert frames[1].timestamp == pytest.approx(0.5)
        assert source.fps == pytest.approx(10 / 3)
        wanted = np.roll(draw_image(1), 5, axis=1)
        assert np.abs(frames[1].image.astype(int) - wanted).mean() < 12

    @pytest.mark.parametrize('start', [0, 1400])
    @pytest.mark.parametrize('suffix', ['.mp4', '.mkv'])
    def test_rates_that_change(self, suffix: str, start: int, tmp_path: Path):
        """As of phones, which expose longer in the dark."""
        path = tmp_path / f'phone{suffix}'
        milliseconds = [0, 40, 80, 120, 320, 360, 400, 700]
        milliseconds = [time + start for time in milliseconds]
        with av.open(str(path), 'w') as container:
            stream = container.add_stream('libx264', rate=25)
            stream.width, stream.height = 64, 48
            clock = stream.codec_context.time_base = Fraction(1, 1000)
            for time in milliseconds:
                image = np.full((48, 64, 3), time % 255, np.uint8)
                frame = av.VideoFrame.from_ndarray(image, 'rgb24')
                frame.pts, frame.time_base = time, clock
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        (source,) = open_sources(path, frame_interval=2, start=1)
        seconds = [frame.timestamp for frame in source.frames()]
        assert seconds == pytest.approx([0.04, 0.12, 0.36, 0.7], abs=2e-3)
        # Matroska states the duration, but not the number of frames.
        assert source.problems == []

    def test_part(self, tmp_path: Path, make_video):
        (source,) = open_sources(make_video(tmp_path / 'v.avi', 12))
        frames = list(source.frames(lambda i: i != 5, begin=4, end=7))
        assert [f.index for f in frames] == [4, 5, 6]
        assert [f.image is None for f in frames] == [False, True, False]

    def test_no_video(self, tmp_path: Path):
        (tmp_path / 'v.mp4').write_bytes(b'no video')
        with pytest.raises(ValueError, match='cannot open'):
            open_sources(tmp_path)

    def test_truncated(self, tmp_path: Path, make_video):
        """What can be read comes, and the rest is a problem."""
        path = make_video(tmp_path / 'v.avi', 100)
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        (source,) = open_sources(path)
        count = len(list(source.frames()))
        assert 20 < count < 80
        assert f'after {count} of 100' in source.problems[0]

    @pytest.mark.parametrize(
        'options',
        [{'frame_interval': 0}, {'start': -1}, {'start': 5, 'end': 5}],
    )
    def test_bad_numbers(self, tmp_path: Path, make_video, options: dict):
        path = make_video(tmp_path / 'v.avi', 6)
        with pytest.raises(ValueError, match='frame_interval'):
            VideoSource(path, *(options.get(k, d) for k, d in (
                ('frame_interval', 1), ('start', 0), ('end', None)
            )))  # fmt: skip

    def test_beyond_the_end(self, tmp_path: Path, make_video):
        with pytest.raises(ValueError, match='has 6 frames'):
            VideoSource(make_video(tmp_path / 'v.avi', 6), start=6)


class TestSequence:
    """Images that are the frames of a video."""

    def test_frames(self, tmp_path: Path):
        for number in range(1, 13):  # as of ffmpeg with %d
            _write(tmp_path / f'shot_{number}.png', number)
        (source,) = open_sources(
            tmp_path, fps=10, frame_interval=3, start=2, end=10
        )
        frames = list(source.frames())
        assert [f.name for f in frames] == ['shot_3', 'shot_6', 'shot_9']
        assert [f.source_frame for f in frames] == [2, 5, 8]
        seconds = [f.timestamp for f in frames]
        assert seconds == pytest.approx([0.2, 0.5, 0.8])
        assert source.is_sequence
        assert source.fps == pytest.approx(10 / 3)
        assert np.array_equal(frames[1].image, draw_image(6))

    def test_one_per_folder(self, tmp_path: Path, make_video):
        """As of the sequences of 3DPW or DAVIS."""
        for name in ('b/2.png', 'b/10.png', 'a/1.png', 'a/deep/1.png'):
            _write(tmp_path / name)
        make_video(tmp_path / 'a' / 'v.avi', 3)
        sources = open_sources(tmp_path, recursive=True, fps=25)
        assert [Path(source.name).name for source in sources] == [
            'a', 'deep', 'b', 'v.avi'
        ]  # fmt: skip
        names = [[f.name for f in source.frames()] for source in sources[:3]]
        assert names == [['1'], ['1'], ['2', '10']]

    def test_the_rate_is_a_setting_of_the_run(self, tmp_path: Path):
        _write(tmp_path / 'a.png')
        first, other = (open_sources(tmp_path, fps=f)[0] for f in (24, 25))
        assert first.identity() != other.identity()

    @pytest.mark.parametrize('fps', [0, -1, float('nan'), float('inf')])
    def test_bad_rate(self, tmp_path: Path, fps: float):
        _write(tmp_path / 'a.png')
        with pytest.raises(ValueError, match='fps must be > 0'):
            open_sources(tmp_path, fps=fps)

    def test_beyond_the_end(self, tmp_path: Path):
        _write(tmp_path / 'a.png')
        with pytest.raises(ValueError, match='has 1 images, start must'):
            open_sources(tmp_path, fps=25, start=1)

    def test_a_short_folder_does_not_stop_the_others(self, tmp_path: Path):
        for name in ('a/1.png', 'b/1.png', 'b/2.png'):
            _write(tmp_path / name)
        (source,) = open_sources(tmp_path, recursive=True, fps=25, start=1)
        assert [frame.name for frame in source.frames()] == ['2']
        (problem,) = source.problems
        assert 'a: has 1 images, start must be less' in problem

    def test_options_that_do_nothing_are_told(self, tmp_path, make_video):
        image = _write(tmp_path / 'a.png')
        video = make_video(tmp_path / 'v.avi', 3)
        for inputs, options, notes in (
            (image, dict(end=2), 1),
            (image, dict(end=2, fps=24), 0),
            (video, dict(end=2), 0),
            (video, dict(end=2, fps=24), 1),
            (tmp_path, dict(end=2), 0),
        ):
            assert len(open_sources(inputs, **options)[0].notes) == notes

    def test_name_of_the_parent_folder(self, tmp_path: Path, monkeypatch):
        """Results are in a folder of that name, so it must not be '..'."""
        _write(tmp_path / 'a' / '1.png')
        (tmp_path / 'a' / 'b').mkdir()
        monkeypatch.chdir(tmp_path / 'a' / 'b')
        (source,) = open_sources('..', fps=25)
        assert Path(source.name).name == 'a'


class TestMixed:
    def test_images_and_videos(self, tmp_path: Path, make_video):
        _write(tmp_path / 'b.png')
        make_video(tmp_path / 'a.avi', 3)
        kinds = [type(source) for source in open_sources(tmp_path)]
        assert kinds == [ImageSource, VideoSource]

    @pytest.mark.parametrize(
        ('inputs', 'error', 'message'),
        [
            ('{}/nothing.jpg', FileNotFoundError, 'jpg: no such file'),
            ('{}/no*.jpg', FileNotFoundError, 'no image or video'),
            ('{}', FileNotFoundError, 'no image or video'),
            (
                'https://example.org/a.jpg',
                ValueError,
                'download the file first',
            ),
            ([], ValueError, 'inputs must be'),
            (None, ValueError, 'inputs must be'),
            (['a.jpg', draw_image(0)], ValueError, 'arrays only'),
        ],
    )
    def test_nothing_there(
        self, tmp_path: Path, inputs: object, error: type, message: str
    ):
        if isinstance(inputs, str):
            inputs = inputs.format(tmp_path)
        with pytest.raises(error, match=message):
            open_sources(inputs)

    def test_names_of_folders_for_results(self, tmp_path: Path, make_video):
        for name in ('a/v.avi', 'b/v.avi', 'b/w.avi'):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            make_video(tmp_path / name, 1)
        sources = open_sources(tmp_path, recursive=True)
        assert source_folders(sources) == ['a__v', 'b__v', 'b__w']


class TestCamera:
    def test_one_that_hangs_does_not_hang_the_program(self, monkeypatch):
        hung = threading.Event()
        asked = threading.Event()

        class Camera:
            def isOpened(self) -> bool:  # noqa: N802
                return True

            def get(self, what: int) -> float:
                return 0.0

            def read(self) -> tuple[bool, None]:
                asked.set()
                hung.wait()
                return False, None

            def release(self) -> None: ...

        monkeypatch.setattr(video_sources, '_FAREWELL', 0.1)
        monkeypatch.setattr(cv2, 'VideoCapture', lambda device: Camera())
        source = CameraSource(0)
        frames = prefetch(source.frames(), 2, latest=True)
        got: list = []
        thread = threading.Thread(target=lambda: got.extend(frames))
        thread.start()
        assert asked.wait(30)
        source.stop()
        thread.join(30)
        ended = not thread.is_alive()
        hung.set()
        thread.join(30)
        assert ended
        assert got == []

    def test_none(self):
        with pytest.raises(ValueError, match='camera 97'):
            CameraSource(97)

    def test_name_has_no_password(self, monkeypatch):
        """It is in messages and in the files of results."""
        opened = []
        capture = SimpleNamespace(isOpened=lambda: False)
        monkeypatch.setattr(
            cv2, 'VideoCapture', lambda x: opened.append(x) or capture
        )
        address = 'rtsp://me:p@ss@host:554/a@b'
        with pytest.raises(ValueError, match='camera rtsp://host:554/a@b:'):
            CameraSource(address)
        assert opened == [address]
