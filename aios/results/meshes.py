# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Persons as meshes, each in a color of its own."""

from __future__ import annotations

import colorsys

import numpy as np

from aios.structures import Mesh

# The golden ratio spreads any number of hues evenly.
_HUE_STEP = (5**0.5 - 1) / 2


def instance_color(index: int) -> tuple[int, int, int]:
    """RGB color (0 to 255) of a person; neighbors in number differ."""
    hue = (0.58 + index * _HUE_STEP) % 1
    value = (0.95, 0.75)[index // 8 % 2]
    rgb = colorsys.hsv_to_rgb(hue, 0.62, value)
    red, green, blue = (round(255 * channel) for channel in rgb)
    return red, green, blue


def instance_mesh(vertices: np.ndarray, faces: np.ndarray, index: int) -> Mesh:
    """Mesh of a person in the color :func:`instance_color` of its number.

    Args:
        vertices: ``(V, 3)`` meters.
        faces: ``(F, 3)`` triangles.
        index: Number of the person.
    """
    return Mesh(vertices, faces, np.divide(instance_color(index), 255))
