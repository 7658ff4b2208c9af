# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The web demo: what it finds, and its page in a browser."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from api_images import draw_image
from script_loader import load_script

from aios.results import SequenceResult

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def app():
    return load_script('demo/gradio_app.py')


@pytest.fixture
def finder(app, inferencer, tmp_path, monkeypatch):
    # The demo changes both; the fixture is shared.
    monkeypatch.setattr(inferencer, 'camera', inferencer.camera)
    monkeypatch.setattr(
        inferencer, 'instance_filter', inferencer.instance_filter
    )
    folder = tmp_path / 'results'
    folder.mkdir()
    return app.Finder(inferencer, folder, max_frames=4)


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / 'my photo.png'
    cv2.imwrite(str(path), draw_image(0))
    return path


def test_a_image(finder, photo) -> None:
    found = finder(photo, score_thr=0.0, fov=60)
    assert found.text == '3 persons in 1 frame.'
    drawn = cv2.imread(str(found.image))
    assert drawn.shape == cv2.imread(str(photo)).shape
    assert found.video is None
    names = ['params.npz', 'persons.glb', 'viewer.html', 'my photo.jpg']
    assert [file.name for file in found.files] == names
    persons = SequenceResult.load(found.files[0])
    width = persons.image_sizes[0, 0]
    focal = width / 2 / np.tan(np.radians(30))
    assert persons.K[0, 0, 0] == pytest.approx(focal)


def test_a_video_is_cut(finder, make_video, tmp_path) -> None:
    path = make_video(tmp_path / 'long.avi', 6)
    found = finder(path, score_thr=0.0)
    assert 'first 4 frames' in found.text
    capture = cv2.VideoCapture(str(found.video))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 4
    page = found.viewer.read_text('utf-8')
    assert '"kind":"video"' in page or '"kind":"images"' in page


def test_a_damaged_video(finder, make_video, tmp_path) -> None:
    finder.max_frames = 100
    path = make_video(tmp_path / 'v.avi', 30)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = finder(path, score_thr=0.0)
    assert 'Problem: ends after' in found.text


def test_no_person(finder, photo) -> None:
    found = finder(photo, score_thr=1.0)
    assert 'No persons' in found.text
    assert all(file.exists() for file in found.files)


def test_what_is_no_image(finder, tmp_path) -> None:
    (tmp_path / 'notes.png').write_text('no image')
    with pytest.raises(ValueError, match='notes.png'):
        finder(tmp_path / 'notes.png', 0.5)


def test_only_uploads_are_read(app, photo, tmp_path) -> None:
    """Requests written by hand name paths, patterns and devices."""
    uploads = tmp_path / 'uploads'
    upload = uploads / '0123/photo [1].png'
    upload.parent.mkdir(parents=True)
    upload.write_bytes(photo.read_bytes())
    assert app.check_upload(str(upload), uploads) == upload
    (uploads / 'link.png').symlink_to(photo)
    (uploads / 'notes.txt').touch()
    (uploads / 'folder.png').mkdir()
    for other in (
        *(photo, '/dev/zero', '/etc/*', uploads, uploads / '*/*.png'),
        *(uploads / 'link.png', uploads / 'notes.txt'),
        *(uploads / f'../{photo.name}', uploads / 'folder.png'),
    ):
        with pytest.raises(ValueError, match='only uploaded'):
            app.check_upload(str(other), uploads)


def test_only_the_last_results_are_kept(finder, photo) -> None:
    first = finder(photo, score_thr=0.0)
    second = finder(photo, score_thr=0.0)
    assert not first.files[0].exists()
    assert all(file.exists() for file in second.files)
    assert len(list(finder.folder.iterdir())) == 1


def _start_server(app, finder, **options):
    """A page on a free port; returns its address, and a function to end."""
    import uvicorn

    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    page = app.build_server(app.build_page(finder), **options)
    server = uvicorn.Server(
        uvicorn.Config(page, port=port, log_level='warning')
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)

    def end() -> None:
        server.should_exit = True
        thread.join(timeout=20)

    return f'http://127.0.0.1:{port}', end


def test_requests_written_by_hand(app, finder, photo, tmp_path, monkeypatch):
    pytest.importorskip('gradio', reason='gradio is not there')
    import httpx

    monkeypatch.setenv('GRADIO_TEMP_DIR', str(tmp_path / 'gradio'))
    address, end = _start_server(app, finder, max_upload=10_000)
    try:
        for path in (photo, photo.parent / '*.png', '/dev/zero'):
            for file in ({'path': str(path)}, str(path)):
                data = [file, 0.0, 0, False]
                sent = httpx.post(
                    f'{address}/gradio_api/call/show', json={'data': data}
                )
                if sent.status_code != 200:
                    continue
                event = sent.json()['event_id']
                told = httpx.get(
                    f'{address}/gradio_api/call/show/{event}', timeout=60
                )
                assert 'event: error' in told.text
        assert not list(finder.folder.iterdir())
        large = {'files': ('large.png', b'0' * 20_000)}
        sent = httpx.post(f'{address}/gradio_api/upload', files=large)
        assert sent.status_code == 413
    finally:
        end()


@pytest.mark.slow
def test_nothing_stays_after_sigterm(checkpoint, tmp_path) -> None:
    pytest.importorskip('gradio', reason='gradio is not there')
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [
            *(sys.executable, str(ROOT / 'demo/gradio_app.py')),
            *(str(checkpoint), '--device', 'cpu', '--port', str(port)),
        ],
        env=os.environ | dict(TMPDIR=str(tmp_path)),
    )
    try:
        while True:
            assert process.poll() is None
            with contextlib.suppress(OSError):
                socket.create_connection(('127.0.0.1', port)).close()
                break
            time.sleep(0.2)
        assert list(tmp_path.glob('aios-web-*'))
        process.terminate()
        assert process.wait(30) == 128 + signal.SIGTERM
    finally:
        process.kill()
    assert not list(tmp_path.glob('aios-web-*'))


def test_without_gradio(app, monkeypatch, capsys) -> None:
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(SystemExit) as stop:
        app.main(['no.pth'])
    assert stop.value.code == 1
    assert 'requirements/demo.txt' in capsys.readouterr().err


@pytest.mark.parametrize(
    'option', ['--port=99999', '--max-frames=0', '--max-upload=-1']
)
def test_odd_numbers_are_refused(app, capsys, option) -> None:
    with pytest.raises(SystemExit, match='2'):
        app.main([option])
    name, _, value = option.partition('=')
    assert f"{name}: '{value}' is not " in capsys.readouterr().err
