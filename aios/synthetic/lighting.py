# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Lighting of a scene: sky and ground light, a sun or lamp, a fill light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Lighting:
    """Light in the world (``y`` up); colors are RGB factors.

    Attributes:
        direction: ``(3,)`` unit vector towards the main light.
        key: ``(3,)`` main light.
        fill_direction: ``(3,)`` unit vector towards the fill light.
        fill: ``(3,)`` fill light.
        sky, ground: ``(3,)`` ambient light from above and from below.
        shadow: Darkness of cast shadows, 0 to 1.
    """

    direction: np.ndarray
    key: np.ndarray
    fill_direction: np.ndarray
    fill: np.ndarray
    sky: np.ndarray
    ground: np.ndarray
    shadow: float


def _direction(azimuth: float, elevation: float) -> np.ndarray:
    return np.array(
        [
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
            np.cos(azimuth) * np.cos(elevation),
        ]
    )


def sample_lighting(rng: np.random.Generator, *, outdoor: bool) -> Lighting:
    """Draws a light set-up; the camera looks along ``-z``.

    Args:
        rng: Random generator.
        outdoor: Sun and sky instead of lamps.

    Returns:
        The lighting.
    """
    azimuth = rng.normal(0, 1.1)
    elevation = rng.uniform(0.45, 1.3)
    warmth = rng.normal(0, 0.06)
    tint = np.array([1 + warmth, 1.0, 1 - warmth])
    harsh = rng.uniform(0.1, 1.0) if outdoor else rng.uniform(0.0, 0.6)
    ambient = rng.uniform(0.6, 0.85) * (1.1 - 0.3 * harsh)
    sky = ambient * tint[::-1] if outdoor else ambient * tint
    return Lighting(
        direction=_direction(azimuth, elevation),
        key=(0.35 + 0.45 * harsh) * tint,
        fill_direction=_direction(
            azimuth + np.pi * rng.uniform(0.5, 1.0), 0.4
        ),
        fill=rng.uniform(0.05, 0.18) * np.ones(3),
        sky=sky,
        ground=ambient * rng.uniform(0.55, 0.8) * np.ones(3),
        shadow=float(harsh),
    )


def shade(
    colors: np.ndarray, normals: np.ndarray, lighting: Lighting
) -> np.ndarray:
    """Lambert shading with hemispheric ambient light.

    Args:
        colors: ``(V, 3)`` RGB.
        normals: ``(V, 3)`` outward unit normals in the world.
        lighting: The light.

    Returns:
        ``(V, 3)`` float32 RGB in 0..1.
    """
    up = 0.5 + 0.5 * normals[:, 1:2]
    light = lighting.ground + up * (lighting.sky - lighting.ground)
    for direction, power in (
        (lighting.direction, lighting.key),
        (lighting.fill_direction, lighting.fill),
    ):
        light = light + np.maximum(normals @ direction, 0)[:, None] * power
    return np.clip(colors * light, 0, 1).astype(np.float32)
