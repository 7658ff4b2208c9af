# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The demos as users call them: files, messages, exit codes."""

from __future__ import annotations

import errno
import itertools
import json
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import pytest
import torch
from api_images import draw_image
from script_loader import load_script

import aios
from aios.apis import AiOSInferencer, video_sources, window
from aios.apis.sources import CameraSource
from aios.apis.store import ShardStore
from aios.results import SequenceResult

ROOT = Path(__file__).parents[2]


@pytest.fixture
def fails(demo, capsys: pytest.CaptureFixture) -> Callable[..., str]:
    """Runs a demo that must fail; returns what it says."""

    def run(*arguments: object, code: int = 1, **options: object) -> str:
        with pytest.raises(SystemExit) as caught:
            demo(*arguments, **options)
        assert caught.value.code == code
        message = capsys.readouterr().err
        assert 'Traceback' not in message
        return message[message.index('error: ') :]

    return run


def test_images(demo, images: Path, tmp_path: Path, capsys):
    out = tmp_path / 'out'
    found = demo(
        *('image_demo', images, '--out-dir', out, '--batch-size', 2),
        *('--views', 'top', '--draw', 'boxes', 'mesh', '--fov', 60),
        *('--save-json', '--save-mesh', 'ply'),
    )
    assert found == 6
    assert f'persons: 6, frames: 3, results: {out}' in capsys.readouterr().out
    persons = SequenceResult.load(out / 'params.npz')
    focal = np.array([96, 96, 60]) / 2 / np.tan(np.radians(30))
    np.testing.assert_allclose(persons.K[:, 0, 0], focal)
    assert cv2.imread(str(out / 'vis/a.jpg')).shape == (72, 96 + 36, 3)
    assert len(list(out.glob('mesh/*.ply'))) == 6
    document = json.loads((out / 'keypoints.json').read_text())
    assert len(document['annotations']) == 6


def test_no_person(demo, images: Path, tmp_path: Path, capsys):
    out = tmp_path / 'out'
    found = demo(
        *('image_demo', images / 'a.png', '--out-dir', out),
        *('--score-thr', 1),
    )
    assert found == 0
    assert 'no person has a score of' in capsys.readouterr().out
    assert cv2.imread(str(out / 'vis/a.jpg')).shape == (72, 96, 3)


def test_video(demo, tmp_path: Path, make_video):
    make_video(tmp_path / 'v.avi', 9)
    demo(
        *('video_demo', tmp_path / 'v.avi', '--out-dir', tmp_path / 'out'),
        *('--track', '--smooth', '--start', 2, '--frame-interval', 3),
        *('--save-glb', '--save-bvh'),
    )
    persons = SequenceResult.load(tmp_path / 'out/params.npz')
    assert persons.source_frames.tolist() == [2, 5, 8]
    assert persons.fps == pytest.approx(10 / 3)
    assert (tmp_path / 'out/persons.glb').stat().st_size
    bones = {p.name for p in tmp_path.glob('out/bvh/*')}
    assert bones == {f'person{k}.bvh' for k in persons.person_ids}
    video = cv2.VideoCapture(str(tmp_path / 'out/vis.mp4'))
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(10 / 3, abs=0.01)


def test_a_folder_as_a_video(demo, tmp_path: Path):
    """Frames of image files get what those of a video get."""
    frames = tmp_path / 'frames'
    frames.mkdir()
    for number in range(9, 12):
        cv2.imwrite(str(frames / f'{number}.png'), draw_image(number))
    out = tmp_path / 'out'
    demo('video_demo', frames, '--fps', 10, '--track', '--out-dir', out)
    persons = SequenceResult.load(out / 'params.npz')
    assert persons.fps == 10
    assert persons.frame_names.tolist() == ['9', '10', '11']
    assert persons.timestamps.tolist() == [0, 0.1, 0.2]
    capture = cv2.VideoCapture(str(out / 'vis.mp4'))
    assert capture.get(cv2.CAP_PROP_FPS) == 10
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 3


class TestBadInput:
    def test_zero_bytes(self, fails, images: Path, tmp_path: Path):
        """The others are done, and the exit code says that one is not."""
        (images / 'b.jpg').write_bytes(b'')
        out = tmp_path / 'out'
        message = fails('image_demo', images, '--out-dir', out)
        assert 'b.jpg: is empty (0 bytes)' in message
        assert {p.name for p in out.glob('vis/*')} == {'a.jpg', 'c.jpg'}
        assert SequenceResult.load(out / 'params.npz').num_frames == 2

    def test_a_missing_body_model_leaves_no_folder(
        self, fails, images: Path, tmp_path: Path
    ):
        """So that the same command works once the files are there."""
        out, key = tmp_path / 'out', 'model.bbox_head.body_model.model_path'
        message = fails(
            *('image_demo', images, '--out-dir', out),
            *('--cfg-options', f'{key}={tmp_path}'),
        )
        assert 'SMPLX_NEUTRAL.npz not found' in message
        assert not out.exists()

    def test_other_checkpoint(self, fails, images, checkpoint, tmp_path):
        content = torch.load(checkpoint, weights_only=True)
        del content['state_dict']['level_embed']
        weights, out = tmp_path / 'w.pth', tmp_path / 'out'
        torch.save(content, weights)
        message = fails(
            'image_demo', images, '--out-dir', out, weights=weights
        )
        assert f'{weights} does not fit the config' in message
        assert '(level_embed)' in message
        weights.write_bytes(checkpoint.read_bytes()[:10000])
        message = fails(
            'image_demo', images, '--out-dir', out, weights=weights
        )
        assert f'{weights}: damaged or not a checkpoint' in message
        assert not out.exists()

    def test_device(self, fails, images: Path, tmp_path: Path):
        out = tmp_path / 'out'
        message = fails(
            *('image_demo', images, '--out-dir', out),
            *('--device', 'nonsense'),
        )
        assert "device 'nonsense' is not available" in message
        assert not out.exists()

    def test_config(self, fails, images: Path, tmp_path: Path):
        message = fails(
            *('image_demo', images, '--out-dir', tmp_path / 'out'),
            *('--cfg-options', 'model.nonsense=3'),
        )
        assert "unexpected keyword argument 'nonsense'" in message

    @pytest.mark.parametrize('more', [('b.png',), ('b.JPG', 'c.png', 'd.png')])
    def test_an_unquoted_pattern(self, fails, more, tmp_path: Path):
        message = fails(
            *('image_demo', 'a.png', *more, '--out-dir', tmp_path / 'out'),
            code=2,
        )
        assert f'{more[0]} is a second source' in message
        assert "quote a pattern, such as 'shots/*.png'" in message

    def test_full_gpu(self, fails, monkeypatch, images, tmp_path):
        def fail(*_: object, **__: object) -> None:
            raise torch.OutOfMemoryError('CUDA out of memory. Tried to')

        monkeypatch.setattr(AiOSInferencer, 'forward', fail)
        message = fails('image_demo', images, '--out-dir', tmp_path / 'out')
        assert 'Tried to\nUse a smaller --batch-size' in message

    def test_full_disk(self, fails, monkeypatch, images, tmp_path):
        def fail(*_: object, **__: object) -> None:
            raise OSError(errno.ENOSPC, 'No space left on device')

        monkeypatch.setattr('aios.apis.store.save_npz', fail)
        message = fails('image_demo', images, '--out-dir', tmp_path / 'out')
        assert f'disk of {tmp_path}/out or TMPDIR' in message
        assert 'Make room, then go on with --resume' in message


def test_interrupted(demo, fails, monkeypatch, images: Path, tmp_path: Path):
    def interrupt(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    arguments = 'image_demo', images, '--out-dir', tmp_path / 'out'
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(AiOSInferencer, 'forward', interrupt)
    message = fails(*arguments, code=130)
    assert 'the same command with --resume continues' in message
    assert signal.getsignal(signal.SIGTERM) is before
    monkeypatch.undo()
    assert demo(*arguments, '--resume') == 6


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch) -> Iterator[list]:
    """A camera that says who uses it; frames without end."""
    opened: list = []

    class Capture:
        def __init__(self, device: object) -> None:
            opened.append(device)

        def isOpened(self) -> bool:
            return opened[-1] != 7

        def get(self, _: int) -> float:
            return 10.0

        def read(self) -> tuple[bool, np.ndarray]:
            return True, draw_image(0)

        def release(self) -> None:
            opened.append('released')

    monkeypatch.setattr(video_sources.cv2, 'VideoCapture', Capture)
    return opened


class TestWebcam:
    def test_kept(self, demo, camera: list, tmp_path: Path):
        out = tmp_path / 'out'
        count = demo(
            *('webcam_demo', 0, '--out-dir', out, '--no-vis', '--track'),
            *('--max-frames', 30),
        )
        assert camera == [0, 'released']
        persons = SequenceResult.load(out / 'params.npz')
        assert persons.num_frames == count
        # Frames that came while the network was busy are skipped.
        assert 1 <= count < 30
        assert not (out / 'parts').exists()

    def test_smoothed_after_the_last_frame(
        self, demo, camera: list, monkeypatch, tmp_path: Path
    ):
        """The first frame differs from the prediction, as later ones count."""

        def draw_shade(number: int) -> np.ndarray:
            return cv2.add(draw_image(0), float(20 * (number % 4)))

        cv2.imwrite(str(tmp_path / '0.png'), draw_shade(0))
        demo('image_demo', tmp_path / '0.png', '--out-dir', tmp_path / 'raw')
        raw = SequenceResult.load(tmp_path / 'raw/params.npz')
        numbers = itertools.count()
        ready = threading.Semaphore(1)
        predict = AiOSInferencer.forward

        def read(_: object) -> tuple[bool, np.ndarray]:
            ready.acquire(timeout=2)  # else frames would be skipped
            return True, draw_shade(next(numbers))

        def forward(self, *args: object, **kwargs: object) -> object:
            ready.release()
            return predict(self, *args, **kwargs)

        monkeypatch.setattr(video_sources.cv2.VideoCapture, 'read', read)
        monkeypatch.setattr(AiOSInferencer, 'forward', forward)
        demo(
            *('webcam_demo', 0, '--out-dir', tmp_path / 'out', '--no-vis'),
            *('--max-frames', 12, '--smooth'),
        )
        smooth = SequenceResult.load(tmp_path / 'out/params.npz')
        assert smooth.num_frames > 3
        change = np.abs(smooth.joints3d[0] - raw.joints3d).max((-1, -2))
        assert change.min() > 1e-4

    def test_a_file_is_played_at_its_speed(self, tmp_path, make_video):
        source = CameraSource(str(make_video(tmp_path / 'v.avi', 5, fps=40)))
        begin = time.monotonic()
        seconds = [frame.timestamp for frame in source.frames()]
        assert time.monotonic() - begin >= 4 / source.fps
        np.testing.assert_allclose(np.diff(seconds), 1 / source.fps)

    def test_address(self, demo, camera: list, tmp_path: Path):
        demo(
            *('webcam_demo', 'rtsp://somewhere', '--no-vis'),
            *('--max-frames', 1, '--out-dir', tmp_path / 'out'),
        )
        assert camera == ['rtsp://somewhere', 'released']

    def test_shown_until_a_key(self, demo, camera: list, monkeypatch):
        shown: list = []
        keys = iter([-1, ord('q')])

        def show(image: np.ndarray, title: str, milliseconds: int) -> int:
            shown.append(image.shape)
            return next(keys, -1)

        monkeypatch.setattr(window, 'show_image', show)
        assert demo('webcam_demo', 0, '--show') >= 2
        assert len(shown) >= 2
        assert shown[0] == (72, 96, 3)
        assert camera == [0, 'released']

    @pytest.mark.parametrize(
        ('visible', 'is_closed'),
        [
            ([0, 1, 1, 0], True),
            ([-1, -1, -1, -1], False),  # some window systems cannot tell
        ],
    )
    def test_shown_until_the_window_is_closed(
        self, visible, is_closed, monkeypatch
    ):
        shown: list = []
        closed: list = []
        states = iter(visible)
        monkeypatch.setattr(window, 'show_image', lambda *x: shown.append(x))
        monkeypatch.setattr(
            window.cv2, 'getWindowProperty', lambda *_: next(states, -1)
        )
        tested = window.Window(
            lambda frame, image: image, lambda: closed.append(len(shown))
        )
        tested.write(None, draw_image(0))
        for _ in range(6):
            tested.refresh()
        assert closed == [4] * is_closed
        assert len(shown) == (4 if is_closed else 6)

    def test_without_a_display(self, fails, camera: list, monkeypatch):
        for name in ('DISPLAY', 'WAYLAND_DISPLAY'):
            monkeypatch.delenv(name, raising=False)
        assert 'there is no display' in fails('webcam_demo', 0, '--show')

    def test_frames_are_sent(self, demo, fails, camera: list):
        pytest.importorskip('pythonosc')
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(('127.0.0.1', 0))
            receiver.settimeout(5)
            address = f'127.0.0.1:{receiver.getsockname()[1]}'
            send = ('--send', 'osc', '--send-to', address)
            demo('webcam_demo', 0, *send, '--max-frames', 2)
            assert b'/aios/frame' in receiver.recv(1 << 16)
        assert 'needs --send' in fails('webcam_demo', 0, '--show', *send[2:])

    def test_nothing_is_kept_without_a_folder(
        self, demo, fails, camera: list, tmp_path: Path, monkeypatch
    ):
        """A session of weeks must not fill the disk."""
        monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
        monkeypatch.setattr(ShardStore, 'append', None)
        monkeypatch.setattr(window, 'show_image', lambda *_: -1)
        options = ('webcam_demo', 0, '--show', '--smooth', '--max-frames', 2)
        assert 1 <= demo(*options) <= 2
        assert not any(tmp_path.iterdir())
        for lost in (
            *(('--save-glb',), ('--save-mesh', 'ply'), ('--ground',)),
            ('--resume',),
        ):
            assert f'{lost[0]} needs --out-dir' in fails(*options, *lost)

    def test_frames_are_viewed(self, demo, camera: list, monkeypatch):
        viser = mock.MagicMock()
        monkeypatch.setitem(sys.modules, 'viser', viser)
        demo('webcam_demo', 0, '--view', 'viser', '--max-frames', 1)
        scene = viser.ViserServer.return_value.scene
        shown = scene.add_camera_frustum.call_args.kwargs['image']
        assert shown.shape == (72, 96, 3)
        _, vertices, faces = scene.add_mesh_simple.call_args.args
        assert len(vertices) == faces.max() + 1

    @pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
    def test_ends_with_ctrl_c(
        self, number, demo, camera, monkeypatch, tmp_path, capsys
    ):
        """Which is how to end it: all results are there."""
        forward = AiOSInferencer.forward
        left = iter([number])
        before = signal.getsignal(number)

        def interrupt(*args: object, **options: object) -> list:
            for one in left:
                os.kill(os.getpid(), one)
            return forward(*args, **options)

        monkeypatch.setattr(AiOSInferencer, 'forward', interrupt)
        out = tmp_path / 'out'
        count = demo('webcam_demo', 0, '--out-dir', out, '--no-vis')
        persons = SequenceResult.load(out / 'params.npz')
        assert persons.num_frames == count >= 1
        assert signal.getsignal(number) is before
        assert f'frames: {count}, results: {out}' in capsys.readouterr().out

    def test_unplugged(self, demo, camera, monkeypatch, capsys):
        left = iter([(True, draw_image(0))])
        monkeypatch.setattr(
            video_sources.cv2.VideoCapture,
            'read',
            lambda _: next(left, (False, None)),
        )
        monkeypatch.setattr(window, 'show_image', lambda *_: -1)
        assert demo('webcam_demo', 0, '--show') == 1
        said = capsys.readouterr().out
        assert 'camera 0: ended after 1 frames' in said
        with pytest.raises(SystemExit):
            demo('webcam_demo', 0, '--show', '--launcher', 'pytorch')

    def test_none(self, fails, camera: list, tmp_path: Path):
        message = fails('webcam_demo', 7, '--out-dir', tmp_path / 'out')
        assert 'camera 7: cannot be opened' in message
        assert 'add --show, --view' in fails('webcam_demo', 0)


def test_shipped_weights_that_are_missing(
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
):
    monkeypatch.setattr(aios, '__file__', str(tmp_path / '__init__.py'))
    main = load_script('demo/image_demo.py').main
    photo = str(tmp_path / 'photo.png')
    cv2.imwrite(photo, np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(SystemExit) as caught:
        main([photo, '--out-dir', str(tmp_path / 'out')])
    assert caught.value.code == 1
    message = capsys.readouterr().err
    assert 'aios_s.safetensors' in message
    assert 'set a checkpoint' in message
