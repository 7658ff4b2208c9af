# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Rasterizer on top of ``cv2.triangleRasterize`` (new in OpenCV 5)."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np


def rasterize(
    vertices: np.ndarray,
    faces: np.ndarray,
    colors: np.ndarray,
    K: np.ndarray,
    height: int,
    width: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one mesh into an empty image.

    A pixel belongs to a triangle if its center, at (column + 0.5, row + 0.5),
    lies inside. Colors are interpolated with perspective.

    OpenCV supports only square pixels and a centered principal point, in
    OpenGL axes. Any pinhole camera can be converted to that form by shearing
    the points: with ``x' = (fx x + s y + (cx - W/2) z) / fy`` the centered
    camera of focal length ``fy`` projects them to exactly the same pixels.

    Args:
        vertices (np.ndarray): (V, 3) float32 camera coordinates, z > 0.
        faces (np.ndarray): (F, 3) int32, at least one.
        colors (np.ndarray): (V, 3) float32 in [0, 1].
        K (np.ndarray): (3, 3) float64 intrinsics.
        height (int): Image height in pixels.
        width (int): Image width in pixels.

    Returns:
        tuple[np.ndarray, np.ndarray]: Colors (H, W, 3) float32 and depths
        (H, W) float32 in meters, ``inf`` where the image is empty (colors
        are undefined there).

    Raises:
        RuntimeError: If OpenCV is older than 5.
    """
    if not hasattr(cv2, 'triangleRasterize'):
        raise RuntimeError(
            f'drawing meshes needs OpenCV 5, this is {cv2.__version__} (pip '
            "install 'opencv-python-headless>=5')"
        )
    depth_range = vertices[:, 2][faces]
    # Tight planes, as the precision of the depth buffer depends on them.
    near = 0.99 * float(depth_range.min())
    far = 1.01 * float(depth_range.max())
    shear = np.array(K, np.float64)
    shear[0, 2] -= width / 2
    shear[1, 2] -= height / 2
    shear[:2] /= K[1, 1]
    shear[1:] *= -1
    color = np.zeros((height, width, 3), np.float32)
    depth = np.full((height, width), far, np.float32)
    cv2.triangleRasterize(
        np.ascontiguousarray(vertices @ shear.T, np.float32),
        faces,
        colors,
        color,
        depth,
        np.eye(4, dtype=np.float32),
        2 * float(np.arctan(height / 2 / K[1, 1])),
        near,
        far,
        _settings(),
    )
    # OpenCV converts the whole buffer, so "far" changes slightly even where
    # nothing was drawn; the margin above allows for it.
    depth[depth > 1.005 * depth_range.max()] = np.inf
    return color, depth


@lru_cache(maxsize=1)
def _settings() -> Any:
    settings = cv2.TriangleRasterizeSettings()
    settings.setShadingType(cv2.RASTERIZE_SHADING_SHADED)
    settings.setCullingMode(cv2.RASTERIZE_CULLING_NONE)
    return settings
