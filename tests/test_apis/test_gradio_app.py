# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The web demo: what it finds, and its page in a browser."""

from __future__ import annotations

import importlib.util
import socket
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from api_pictures import picture
from script_loader import load_script

from aios.export import PeopleSequence

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope='module')
def app():
    return load_script('demo/gradio_app.py')


@pytest.fixture
def finder(app, inferencer, tmp_path, monkeypatch):
    # The demo changes both; the fixture is shared.
    monkeypatch.setattr(inferencer, 'camera', inferencer.camera)
    monkeypatch.setattr(inferencer, 'selection', inferencer.selection)
    folder = tmp_path / 'results'
    folder.mkdir()
    return app.Finder(inferencer, folder, max_frames=4)


@pytest.fixture
def photo(tmp_path) -> Path:
    path = tmp_path / 'my photo.png'
    cv2.imwrite(str(path), picture(0))
    return path


def test_a_picture(finder, photo) -> None:
    found = finder(photo, score_thr=0.0, fov=60)
    assert found.text == '3 people in 1 frame.'
    drawn = cv2.imread(str(found.picture))
    assert drawn.shape == cv2.imread(str(photo)).shape
    assert found.video is None
    names = ['params.npz', 'people.glb', 'viewer.html', 'my photo.jpg']
    assert [file.name for file in found.files] == names
    people = PeopleSequence.load(found.files[0])
    width = people.image_sizes[0, 0]
    focal = width / 2 / np.tan(np.radians(30))
    assert people.K[0, 0, 0] == pytest.approx(focal)


def test_a_video_is_cut(finder, make_video, tmp_path) -> None:
    path = make_video(tmp_path / 'long.avi', 6)
    found = finder(path, score_thr=0.0)
    assert 'first 4 frames' in found.text
    capture = cv2.VideoCapture(str(found.video))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 4
    page = found.viewer.read_text('utf-8')
    assert '"kind":"video"' in page or '"kind":"images"' in page


def test_nobody(finder, photo) -> None:
    found = finder(photo, score_thr=1.0)
    assert 'Nobody' in found.text
    assert found.viewer.exists()


def test_what_is_no_picture(finder, tmp_path) -> None:
    (tmp_path / 'notes.png').write_text('no picture')
    with pytest.raises(ValueError, match='notes.png'):
        finder(tmp_path / 'notes.png', 0.5)


def test_without_gradio(app, monkeypatch, capsys) -> None:
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(SystemExit) as stop:
        app.main(['no.pth'])
    assert stop.value.code == 1
    assert 'requirements/demo.txt' in capsys.readouterr().err


@pytest.mark.slow
def test_the_page_in_a_browser(app, finder, photo, tmp_path, monkeypatch):
    pytest.importorskip('gradio', reason='gradio is not there')
    monkeypatch.syspath_prepend(str(ROOT / 'tests/test_viewer'))
    import browser as chromium
    import uvicorn

    monkeypatch.setenv('GRADIO_TEMP_DIR', str(tmp_path / 'gradio'))
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    page = app.build_server(app.build_page(finder))
    server = uvicorn.Server(
        uvicorn.Config(page, port=port, log_level='warning')
    )
    thread = threading.Thread(target=server.run, daemon=True)
    with chromium.open_browser(tmp_path / 'profile', (900, 900)) as driver:
        thread.start()
        chromium.wait_for(lambda: server.started, 'the server')
        driver.get(f'http://127.0.0.1:{port}')

        def find(selector: str):
            return chromium.wait_for(
                lambda: driver.find_elements('css selector', selector),
                selector,
            )[0]

        find('input[type=file]').send_keys(str(photo))
        chromium.wait_for(
            lambda: 'my photo' in find('body').text, 'the upload'
        )
        find('button.primary').click()
        driver.switch_to.frame(find('iframe[title=viewer]'))
        chromium.wait_for(
            lambda: find('body').get_attribute('data-state') == 'ready',
            'the viewer',
        )
        driver.switch_to.default_content()
        text = find('body').text
        assert '3 people in 1 frame' in text
        assert 'people' in text and '.glb' in text
        time.sleep(1)
        asked = chromium.requested_hosts(driver)
        own = f'http://127.0.0.1:{port}/'
        assert {address for address in asked if own not in address} == set()
    server.should_exit = True
    thread.join(timeout=20)
