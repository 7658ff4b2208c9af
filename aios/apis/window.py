# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Show images in a window."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import cv2
import numpy as np

from aios.results import FrameResult
from aios.visualization import OverlayDrawer

from .writers import FrameWriter

DEFAULT_LAYERS = ('mesh', 'boxes', 'skeletons')
"""Layers drawn by default; see :class:`OverlayOptions`."""

_KEYS_TO_CLOSE = (ord('q'), 27)  # 27 is Esc


class Window(FrameWriter):
    """Show the newest frame.

    The writer thread draws frames, and the thread that calls :meth:`refresh`
    shows them: on some systems only the main thread may do that.

    Args:
        draw: Draws persons into their image.
        on_close: Called when the user presses q or Esc, or closes the window.
        title: Title of the window.
    """

    per_frame = False
    needs_image = True
    needs_vertices = True

    def __init__(
        self,
        draw: OverlayDrawer,
        on_close: Callable[[], None],
        title: str = 'aios',
    ) -> None:
        self._draw = draw
        self._on_close = on_close
        self._title = title
        self._newest: np.ndarray | None = None
        self._was_visible = False
        self._is_closed = False

    def write(self, frame: FrameResult, image: np.ndarray | None) -> None:
        """Draw a frame."""
        if image is not None:
            self._newest = self._draw(frame, image)

    def refresh(self) -> None:
        """Show the frame drawn last.

        Raises:
            OSError: If there is no display.
        """
        if self._newest is None or self._is_closed:
            return
        key = show_image(self._newest, self._title, 1)
        visible = is_visible(self._title)
        # Some window systems never say that a window is visible.
        vanished = self._was_visible and not visible
        self._was_visible = visible
        if vanished or key in _KEYS_TO_CLOSE:
            self._is_closed = True
            self._on_close()


def show_image(image: np.ndarray, title: str, milliseconds: int) -> int:
    """Show an image in a window.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        title: Title, which identifies the window.
        milliseconds: Time to wait for a key, 0 for no limit.

    Returns:
        The key, -1 for none.

    Raises:
        OSError: If there is no display, or OpenCV was built without windows.
    """
    try:
        _check_display()
        cv2.imshow(title, np.ascontiguousarray(image[..., ::-1]))
        return cv2.waitKey(milliseconds)
    except cv2.error as error:
        raise OSError(
            'cannot open a window: there is no display, or OpenCV has no '
            'window support (opencv-python-headless; install opencv-python '
            'instead); write images instead'
        ) from error


def _check_display() -> None:
    """Raise :class:`cv2.error` where OpenCV's Qt would end the process."""
    displays = 'DISPLAY', 'WAYLAND_DISPLAY'
    if sys.platform == 'linux' and not any(map(os.environ.get, displays)):
        raise cv2.error('DISPLAY is not set')


def is_visible(title: str) -> bool:
    """Whether a window is open; also false where OpenCV cannot tell.

    Args:
        title: Title of the window.
    """
    try:
        return cv2.getWindowProperty(title, cv2.WND_PROP_VISIBLE) >= 1
    except cv2.error:  # no such window
        return False
