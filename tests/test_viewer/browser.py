# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Headless Chromium for tests of pages."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

_NAMES = ('chromium', 'chromium-browser', 'google-chrome')
_OPTIONS = (
    '--headless',
    '--disable-gpu',
    '--disable-quic',
    '--no-first-run',
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-sync',
    # WebGL by the processor
    '--use-gl=angle',
    '--use-angle=swiftshader',
    '--enable-unsafe-swiftshader',
    '--autoplay-policy=no-user-gesture-required',
    '--force-device-scale-factor=1',
)
PATIENCE = 180.0  # seconds, on a busy machine


@contextmanager
def open_browser(profile: Path, size: tuple[int, int]) -> Iterator[Any]:
    """A Selenium driver of Chromium; skips the test if there is none."""
    webdriver = pytest.importorskip('selenium.webdriver')
    from selenium.webdriver.chrome.service import Service

    found = [shutil.which(name) for name in _NAMES]
    binary = next((path for path in found if path), None)
    driver = shutil.which('chromedriver')
    if binary is None or driver is None:
        pytest.skip('Chromium and its chromedriver are not there')
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for option in _OPTIONS:
        options.add_argument(option)
    if hasattr(os, 'geteuid') and os.geteuid() == 0:
        options.add_argument('--no-sandbox')
    options.add_argument('--window-size={},{}'.format(*size))
    options.add_argument(f'--user-data-dir={profile}')
    options.set_capability(
        'goog:loggingPrefs', {'browser': 'ALL', 'performance': 'ALL'}
    )
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield browser
    finally:
        browser.quit()


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """Wait until a condition is true, and return its value."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError(f'{what}: not within {PATIENCE} s')


def screenshot(element: Any) -> np.ndarray:
    """``(H, W, 3)`` uint8 RGB of an element."""
    data = np.frombuffer(element.screenshot_as_png, np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]


def requested_hosts(browser: Any) -> set[str]:
    """Network hosts that pages requested since the last call."""
    asked = set()
    for entry in browser.get_log('performance'):
        message = json.loads(entry['message'])['message']
        if message['method'] == 'Network.requestWillBeSent':
            address = message['params']['request']['url']
            if address.startswith(('http:', 'https:', 'ws:', 'wss:')):
                asked.add(address)
    return asked


def errors(browser: Any) -> list[str]:
    """Console errors of a page since the last call."""
    return [
        entry['message']
        for entry in browser.get_log('browser')
        if entry['level'] == 'SEVERE'
    ]
