# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The page in a Chromium, opened from the disk."""

from __future__ import annotations

import colorsys
from dataclasses import replace

import browser as chromium
import numpy as np
import pytest

from aios.export import write_glb
from aios.results import instance_color
from aios.structures import Mesh
from aios.viewer import make_image_track, write_viewer
from aios.visualization import render_meshes

Keys = pytest.importorskip('selenium.webdriver').Keys

# WebGL without a graphics card: seconds on an idle processor.
pytestmark = pytest.mark.slow

TIMES = np.arange(4) / 5


@pytest.fixture(scope='module')
def driver(tmp_path_factory):
    profile = tmp_path_factory.mktemp('profile')
    with chromium.open_browser(profile, (820, 480)) as driver:
        yield driver


@pytest.fixture(scope='module')
def page(persons, animation, images, tmp_path_factory):
    folder = tmp_path_factory.mktemp('page')
    track = make_image_track(images, folder, TIMES)
    path = folder / 'viewer.html'
    write_viewer(persons, animation, path, images=track)
    return path


class _Viewer:
    """The page as a person uses it."""

    def __init__(self, driver, path, address: str = '') -> None:
        self.driver = driver
        driver.get('about:blank')  # else only the part after # changes
        driver.get(f'{path.as_uri()}#{address}')
        chromium.wait_for(lambda: self.data('state') != 'loading', 'loading')

    def find(self, selector: str):
        return self.driver.find_element('css selector', selector)

    def data(self, name: str) -> str:
        return self.find('body').get_attribute(f'data-{name}')

    def click(self, selector: str) -> None:
        self.find(selector).click()

    def canvas(self) -> np.ndarray:
        """What is drawn now."""
        chromium.wait_for(lambda: self.data('drawn') == 'true', 'drawing')
        return chromium.screenshot(self.find('#scene'))

    def pixels_of(self, person: int) -> int:
        return int(_mask(self.canvas(), person).sum())

    def shows(self, wanted: np.ndarray, what: str) -> None:
        """Wait for an image of one color."""

        def is_shown() -> bool:
            image = chromium.screenshot(self.find('#image :first-child'))
            middle = image[image.shape[0] // 2, image.shape[1] // 2]
            return np.abs(middle - wanted[0, 0].astype(int)).max() < 60

        chromium.wait_for(is_shown, what)


def _mask(image: np.ndarray, person: int) -> np.ndarray:
    """Pixels of the hue of a person."""
    hue, _, _ = colorsys.rgb_to_hsv(*np.divide(instance_color(person), 255))
    low, high = image.min(-1).astype(int), image.max(-1).astype(int)
    strong = high - low > 0.3 * high
    red, green, blue = (image[..., i].astype(float) for i in range(3))
    # Angle in the color circle, as of rgb_to_hsv.
    angle = np.arctan2(3**0.5 * (green - blue), 2 * red - green - blue)
    difference = np.abs(angle / (2 * np.pi) - hue + 0.5) % 1 - 0.5
    return strong & (np.abs(difference) < 0.045) & (high > 60)


def test_persons_and_time(driver, page) -> None:
    viewer = _Viewer(driver, page)
    assert (viewer.data('state'), viewer.data('frame')) == ('ready', '0')
    assert '2 persons, 4 frames' in viewer.find('#summary').text
    both = viewer.pixels_of(2), viewer.pixels_of(7)
    assert min(both) > 300

    viewer.click('[aria-label="Next frame"]')
    assert viewer.data('frame') == '1'
    assert '000011' in viewer.find('#clock').text
    # Person 2 is not in this frame.
    assert viewer.pixels_of(2) < 60
    assert viewer.pixels_of(7) > 300
    absent = viewer.find('[data-person="2"]').get_attribute('class')
    assert absent == 'absent'
    image = chromium.screenshot(viewer.find('#image img'))
    middle = image[image.shape[0] // 2, image.shape[1] // 2]
    assert np.abs(middle.astype(int) - (40, 200, 40)).max() < 15

    # To the end and back.
    viewer.find('body').send_keys(Keys.END)
    assert viewer.data('frame') == '3'
    assert viewer.pixels_of(2) > 300
    viewer.find('body').send_keys(Keys.ARROW_LEFT)
    assert viewer.data('frame') == '2'
    assert viewer.pixels_of(2) < 60

    viewer.find('body').send_keys(Keys.HOME)
    viewer.click('[data-person="2"] input')
    assert viewer.pixels_of(2) < 60
    viewer.click('[data-person="2"] button')
    assert viewer.pixels_of(2) > 300
    assert viewer.pixels_of(7) < 60
    viewer.click('#all')
    assert min(viewer.pixels_of(2), viewer.pixels_of(7)) > 300
    assert chromium.errors(driver) == []
    assert chromium.requested_hosts(driver) == set()


@pytest.mark.parametrize('floor', [None, [0, -0.8, -0.6, 1.7]])
def test_camera_sees_what_the_renderer_draws(
    driver, persons, layer, images, tmp_path, floor
) -> None:
    """Persons lie over the image where the results say, to the pixel."""
    persons = replace(persons, floor=floor)
    write_glb(persons, layer, tmp_path / 'persons.glb', tolerance=1e-3)
    track = make_image_track(images, tmp_path, TIMES)
    path = tmp_path / 'viewer.html'
    write_viewer(persons, tmp_path / 'persons.glb', path, images=track)
    viewer = _Viewer(driver, path, 'frame=3&view=camera')
    image = viewer.canvas()
    height, width = image.shape[:2]
    scale = min(width / 320, height / 240)
    K = np.diag([scale, scale, 1]) @ persons.K[3]
    K[:2, 2] += (width - 320 * scale) / 2, (height - 240 * scale) / 2
    body = layer(**persons.smplx_parameters(persons.rows(3)))
    meshes = [Mesh(vertices, layer.faces) for vertices in body.vertices]
    wanted = render_meshes(meshes, K, height, width).ids
    for index, person in enumerate(
        persons.frame(3).instances['person_id'].tolist()
    ):
        seen, expected = _mask(image, person), wanted == index
        # The buttons lie over the top of the image.
        seen[:45], expected[:45] = False, False
        assert expected.sum() > 1000
        overlap = (seen & expected).sum() / (seen | expected).sum()
        assert overlap > 0.95, person
    # The image behind them.
    assert np.abs(image[height - 60, width // 2].astype(int) - 90).max() < 9


@pytest.mark.parametrize('video', [True, False])
def test_playing(driver, persons, animation, images, tmp_path, video) -> None:
    fps = 5.0 if video else 0.0
    track = make_image_track(images, tmp_path, TIMES, fps=fps)
    path = tmp_path / 'viewer.html'
    write_viewer(persons, animation, path, images=track)
    viewer = _Viewer(driver, path)
    assert viewer.data('state') == 'ready'
    viewer.find('#speed option').click()  # slowly: nobody must be in time
    viewer.click('#play')
    chromium.wait_for(lambda: viewer.data('frame') != '0', 'another frame')
    assert viewer.data('playing') == 'true'
    viewer.click('#play')
    assert viewer.data('playing') == 'false'
    frame = viewer.data('frame')
    # The image is that of the frame that is shown.
    viewer.shows(images[int(frame)], f'image of frame {frame}')
    assert viewer.data('frame') == frame
    assert chromium.errors(driver) == []


def test_rate_that_changes(
    driver, persons, animation, images, tmp_path
) -> None:
    """The image is that of the frame, also before a long last one."""
    times = np.array([0.0, 1, 2, 7]) / 30
    persons = replace(persons, timestamps=times)
    track = make_image_track(images, tmp_path, times, fps=30.0)
    path = tmp_path / 'viewer.html'
    write_viewer(persons, animation, path, images=track)
    viewer = _Viewer(driver, path, 'frame=1')
    assert viewer.data('frame') == '1'
    viewer.shows(images[1], 'image of frame 1')


def test_a_damaged_page_says_so(driver, page, tmp_path) -> None:
    text = page.read_text('utf-8')
    start = text.index('<script id="glb"')
    start = text.index('\n', start) + 1
    damaged = tmp_path / 'damaged.html'
    damaged.write_text(text[:start] + 'AAAA' + text[start + 4 :], 'utf-8')
    viewer = _Viewer(driver, damaged)
    assert viewer.data('state') == 'failed'
    assert 'Cannot display' in viewer.find('#message').text
    chromium.errors(driver)
