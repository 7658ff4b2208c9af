# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Soft contact and cast shadows on the floor.

Vertices are projected onto the floor along the light, splatted into a coarse
image and blurred, which needs no second rendering pass.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from aios.synthetic.lighting import Lighting
from aios.synthetic.views import View

_COARSE = 4


def _splat(
    view: View, points: np.ndarray, weights: np.ndarray, blur: float
) -> np.ndarray:
    """Density of floor points in the image, at a quarter of its size."""
    h = -(-view.camera.height // _COARSE)
    w = -(-view.camera.width // _COARSE)
    camera_points = view.to_camera(points)
    front = camera_points[:, 2] > 0.2
    pixels = view.camera.project(camera_points[front]) / _COARSE
    cell = np.floor(pixels).astype(np.int64)
    inside = ((cell >= 0) & (cell < [w, h])).all(1)
    index = cell[inside, 1] * w + cell[inside, 0]
    count = np.bincount(index, weights[front][inside], minlength=h * w)
    return cv2.GaussianBlur(
        count.reshape(h, w).astype(np.float32), (0, 0), blur
    )


def floor_shadow(
    view: View, bodies: Sequence[np.ndarray], lighting: Lighting
) -> np.ndarray:
    """Light at each pixel of the floor.

    Args:
        view: The camera.
        bodies: World vertices ``(N, 3)`` of everything on the floor.
        lighting: Direction and darkness of the cast shadow.

    Returns:
        ``(H, W)`` float32 factor in 0..1 for the floor's colors.
    """
    shape = (view.camera.width, view.camera.height)
    if not bodies:
        return np.ones(shape[::-1], np.float32)
    light = np.ones(
        (-(-shape[1] // _COARSE), -(-shape[0] // _COARSE)), np.float32
    )
    towards = lighting.direction
    scale = view.camera.width / 640
    for body in bodies:
        points = np.asarray(body[::2], np.float64)
        height = np.maximum(points[:, 1:2], 0)
        cast = points - height * towards / max(towards[1], 0.2)
        cast[:, 1] = 0
        under = points * [1, 0, 1]
        near = np.exp(-height[:, 0] / 0.07)
        # Vertices per coarse pixel that give a full shadow.
        full = max(len(points) / 1500, 0.2)
        dark = _splat(view, cast, np.ones(len(cast)), 1.2 * scale)
        contact = _splat(view, under, near, 1.6 * scale)
        light *= 1 - 0.55 * lighting.shadow * (1 - np.exp(-2 * dark / full))
        light *= 1 - 0.6 * (1 - np.exp(-2 * contact / full))
    return cv2.resize(light, shape, interpolation=cv2.INTER_LINEAR)
