# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Side view and top view of a scene.

Symbols: ``V`` vertices, ``H``, ``W`` panel height and width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import cv2
import numpy as np

from aios.structures import Mesh
from aios.utils.choices import check_choice

from .drawing import draw_label
from .rasterizer import render_meshes

# Rows: right, down and forward of the panel, in camera axes.
_AXES: Mapping[str, np.ndarray] = MappingProxyType(
    {
        'side': np.array([[0.0, 0, 1], [0, 1, 0], [-1, 0, 0]]),
        'top': np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]),
    }
)

VIEWS = tuple(_AXES)
"""Side view from the right with the camera on the left, and top view with the
camera at the bottom."""

_FAR_AWAY = 40.0  # distance in widths of the scene: nearly parallel rays
_MARGIN = 1.25
_GROW, _SHRINK = 0.3, 0.02  # smoothing factors per frame
_MIN_EXTENT = 2.0  # meters
_FAR = 3.0  # factor of the median depth
_BACKGROUND, _GRID, _CAMERA = (40, 42, 46), (62, 65, 70), (200, 200, 120)
_STEPS = (1, 2, 5, 10, 20, 50, 100)  # meters between lines
_MAX_LINES = 12


class SceneView:
    """A panel with a side view or a top view of persons.

    A grid, whose spacing in meters is in the label, and the camera's field of
    view give the scale. The region shown follows the persons: it grows quickly
    and shrinks slowly.

    Args:
        name: One of :data:`VIEWS`.

    Raises:
        ValueError: If ``name`` is unknown.
    """

    def __init__(self, name: str) -> None:
        check_choice('view', name, VIEWS)
        self.name = name
        self._axes = _AXES[name]
        self._low: np.ndarray | None = None
        self._high = np.zeros(3)

    def __call__(
        self,
        meshes: Sequence[Mesh],
        K: np.ndarray,
        size: tuple[int, int],
        height: int,
        width: int,
    ) -> np.ndarray:
        """Draw the next frame.

        Args:
            meshes: In camera axes, meters.
            K: ``(3, 3)`` of the image.
            size: ``(width, height)`` of the image.
            height: H.
            width: W.

        Returns:
            ``(H, W, 3)`` uint8 RGB.
        """
        self._follow(meshes)
        panel = np.full((height, width, 3), _BACKGROUND, np.uint8)
        if not height:  # a part of an image with fewer rows than views
            return panel
        if self._low is None:
            return draw_label(panel, self.name, (0, 0), _BACKGROUND, 0.45)
        middle = (self._low + self._high) / 2
        extent = np.maximum((self._high - self._low)[:2], _MIN_EXTENT)
        extent *= _MARGIN
        scale = float(min(width / extent[0], height / extent[1]))
        step = self._draw_grid(panel, middle, scale)
        self._draw_camera(panel, middle, scale, K, size)
        distance = _FAR_AWAY * float(extent.max())
        focal = scale * distance
        offset = np.array([0, 0, distance]) - middle
        panel = render_meshes(
            [
                Mesh(m.vertices @ self._axes.T + offset, m.faces, m.colors)
                for m in meshes
            ],
            np.array(
                [[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]
            ),
            height,
            width,
            background=panel,
            cull=True,
        ).image
        text = f'{self.name}, grid {step} m'
        return draw_label(panel, text, (0, 0), _BACKGROUND, 0.45)

    def _follow(self, meshes: Sequence[Mesh]) -> None:
        """Move the box shown towards the bounding box of the persons."""
        if not meshes:
            return
        centers = np.array([mesh.vertices[:, 2].mean() for mesh in meshes])
        framed = np.flatnonzero(are_framed(centers)).tolist()
        points = np.concatenate([meshes[i].vertices[::20] for i in framed])
        points = points @ self._axes.T
        low, high = points.min(0), points.max(0)
        if self._low is None:
            self._low, self._high = low, high
            return
        self._low = _towards(self._low, low, low < self._low)
        self._high = _towards(self._high, high, high > self._high)

    def _draw_grid(
        self, panel: np.ndarray, middle: np.ndarray, scale: float
    ) -> int:
        """Draw grid lines; returns their spacing in meters."""
        size = np.array(panel.shape[1::-1])
        meters = size / scale
        step = next(
            (s for s in _STEPS if meters.max() / s <= _MAX_LINES), _STEPS[-1]
        )
        first = np.ceil((middle[:2] - meters / 2) / step) * step
        last = middle[:2] + meters / 2
        for axis in (0, 1):
            for value in np.arange(first[axis], last[axis], step):
                at = round((value - middle[axis]) * scale + size[axis] / 2)
                start, end = [at, at], [at, at]
                start[1 - axis], end[1 - axis] = 0, int(size[1 - axis])
                cv2.line(panel, start, end, _GRID, 1)
        return step

    def _draw_camera(
        self,
        panel: np.ndarray,
        middle: np.ndarray,
        scale: float,
        K: np.ndarray,
        size: tuple[int, int],
    ) -> None:
        """Draw the edges of the field of view."""
        # Left and right in the top view, top and bottom in the side view.
        axis = 0 if self.name == 'top' else 1
        reach = 2 * float(np.abs(middle).max() + panel.shape[0] / scale)
        center = np.array(panel.shape[1::-1]) / 2
        for edge in (0, size[axis]):
            ray = np.array([0.0, 0, 1])
            ray[axis] = (edge - K[axis, 2]) / K[axis, axis]
            ends = np.stack([0 * ray, reach * ray]) @ self._axes.T
            pixels = (ends - middle)[:, :2] * scale + center
            start, end = (
                pixels.clip(-30000, 30000).round().astype(int).tolist()
            )
            cv2.line(panel, start, end, _CAMERA, 1, cv2.LINE_AA)


def are_framed(depths: np.ndarray) -> np.ndarray:
    """Mask ``(n,)`` of the persons that a view of all of them shows.

    Far persons, who are often wrong, would make the others small.

    Args:
        depths: ``(n,)`` meters, at least one.
    """
    return np.asarray(depths <= _FAR * abs(np.median(depths)))


def _towards(
    old: np.ndarray, new: np.ndarray, outside: np.ndarray
) -> np.ndarray:
    return old + np.where(outside, _GROW, _SHRINK) * (new - old)
