# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Panoramas as backgrounds and image-based lighting.

The light on a surface is the irradiance of the panorama, approximated by
spherical harmonics of order 2 (Ramamoorthi and Hanrahan, SIGGRAPH 2001).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from aios.synthetic.lighting import Lighting
from aios.synthetic.textures import smooth_noise
from aios.synthetic.views import View
from aios.utils.folders import visible_paths
from aios.utils.images import imread

_BRIGHTEST = 40.0  # times the median; limits the sun
_GAMMA = 1 / 2.2
_COARSE = 4
_STEPS = 4096  # of the tone-mapping table
_BLOCK_ROWS = 256  # of a panorama, to limit memory
_CACHE_BYTES = 1 << 30  # of decoded panoramas, in each process
# Irradiance of a band over its radiance: pi, 2 pi / 3 and pi / 4.
_BANDS = np.repeat([np.pi, 2 * np.pi / 3, np.pi / 4], [1, 3, 5])


@dataclass(frozen=True)
class Panorama:
    """A decoded panorama; brightness is relative to its median.

    Attributes:
        encoded: ``(H, W + 4, 3)`` float32 RGB to the power of 1 / 2.2, with
            two extra columns on either side for seamless look-ups.
        harmonics: ``(9, 3)`` irradiance coefficients.
    """

    encoded: np.ndarray
    harmonics: np.ndarray


_cache: dict[Path, Panorama] = {}


@dataclass(frozen=True)
class Environment:
    """A panorama around a scene.

    Attributes:
        panorama: Its file.
        turn: Rotation about the vertical, radians.
        mirrored: Whether left and right are swapped.
        exposure: Factor on the automatic exposure.
        balance: Strength of the white balance.
        detail: Strength of the noise that replaces missing fine detail.
    """

    panorama: Path
    turn: float
    mirrored: bool
    exposure: float
    balance: float
    detail: float

    def _rotation(self) -> np.ndarray:
        """``(3, 3)`` from the world to the panorama."""
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        side = -1.0 if self.mirrored else 1.0
        return np.array(
            [[side * cos, 0, -sin], [0, 1, 0], [side * sin, 0, cos]]
        )

    def look(self, view: View) -> tuple[np.ndarray, np.ndarray]:
        """The panorama as seen by a camera.

        Args:
            view: The camera.

        Returns:
            ``(H, W, 3)`` float32 encoded RGB and the ``(H, W)`` float32
            strength of shadows at each pixel.
        """
        # Directions vary slowly, so every fourth pixel suffices.
        rays = view.rays(_COARSE)
        rays /= np.sqrt(np.einsum('hwk,hwk->hw', rays, rays))[..., None]
        right, up, back = np.moveaxis(rays, -1, 0)
        # Cameras look along -z, so no view contains the seam.
        across = np.arctan2(right, -back) / (2 * np.pi)
        side = -1.0 if self.mirrored else 1.0
        across = side * across + self.turn / (2 * np.pi)
        down = 0.5 - np.arcsin(up.clip(-1, 1)) / np.pi
        floor = np.clip(-8 * up, 0, 0.6)
        across, down, floor = (
            _enlarge(values, view.camera.height, view.camera.width)
            for values in (across, down, floor)
        )
        encoded = _read(self.panorama).encoded
        rows, columns = encoded.shape[0], encoded.shape[1] - 4
        image = cv2.remap(
            encoded,
            ((across + 0.5) % 1 * columns + 1.5).astype(np.float32),
            (down * rows - 0.5).clip(0, rows - 1).astype(np.float32),
            cv2.INTER_CUBIC,
        )
        if self.detail:
            noise = cv2.remap(
                _detail(),
                ((across * 6) % 1 * 512).astype(np.float32),
                ((down * 3) % 1 * 512).astype(np.float32),
                cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_WRAP,
            )
            image = image * (1 + self.detail * noise)[..., None]
        return np.maximum(image, 0), floor

    def gain(self, encoded: np.ndarray | None = None) -> np.ndarray:
        """The camera's exposure and white balance.

        A compromise between the background and the persons in front of it.

        Args:
            encoded: ``(H, W, 3)`` background, of :meth:`look`; without it
                only the light on persons counts.

        Returns:
            ``(3,)`` factors on linear RGB.
        """
        light = _read(self.panorama).harmonics[0] * 0.282095 / np.pi
        exposure = 0.62 / max(float(light.mean()), 0.02)
        if encoded is not None:
            seen = float(np.percentile(encoded[::4, ::4].mean(-1), 80)) ** 2.2
            exposure = exposure**0.6 * (0.8 / max(seen, 0.02)) ** 0.4
        tint = (light.mean() / np.maximum(light, 1e-3)) ** self.balance
        return self.exposure * exposure * np.clip(tint, 0.4, 2.5)

    def shade(
        self, colors: np.ndarray, normals: np.ndarray, gain: np.ndarray
    ) -> np.ndarray:
        """Shade a matt surface.

        Args:
            colors: ``(V, 3)`` RGB in 0..1.
            normals: ``(V, 3)`` outward unit normals in the world.
            gain: Of :meth:`gain`.

        Returns:
            ``(V, 3)`` float32 RGB in 0..1.
        """
        turned = normals @ self._rotation().T
        light = _basis(turned) @ _read(self.panorama).harmonics
        # Ringing of the harmonics must not give black surfaces.
        light = np.maximum(light, 0.15 * light.mean(0)) / np.pi
        matt = np.clip(colors, 0.0, 1.0).astype(np.float32) ** 2.2
        return _develop(matt * (light * gain).astype(np.float32))

    def lighting(self) -> Lighting:
        """Direction and strength of the cast shadows."""
        harmonics = _read(self.panorama).harmonics.mean(1)
        towards = self._rotation().T @ harmonics[[3, 1, 2]]
        size = max(float(np.linalg.norm(towards)), 1e-6)
        towards = towards / size
        towards[1] = max(towards[1], 0.45)
        strength = np.clip(size / max(float(harmonics[0]), 1e-6), 0.1, 1.0)
        white = np.ones(3)
        return Lighting(
            towards / np.linalg.norm(towards),
            white,
            towards,
            white,
            white,
            white,
            float(strength),
        )


def _enlarge(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """``(height, width)`` float32 of values at every fourth pixel."""
    shape = values.shape[1] * _COARSE, values.shape[0] * _COARSE
    large = cv2.resize(
        values.astype(np.float32), shape, interpolation=cv2.INTER_CUBIC
    )
    return large[:height, :width]


def develop_background(encoded: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Apply exposure and tone mapping to a panorama.

    Args:
        encoded: ``(H, W, 3)`` of :meth:`Environment.look`.
        gain: ``(3,)`` of :meth:`Environment.gain`.

    Returns:
        ``(H, W, 3)`` float32 RGB in 0..1.
    """
    top = float(_BRIGHTEST**_GAMMA) * 1.5
    index = np.minimum(encoded * ((_STEPS - 1) / top), _STEPS - 1)
    levels = (np.linspace(0, top, _STEPS) ** 2.2).astype(np.float32)
    table = _develop(levels[:, None] * gain.astype(np.float32))
    picks = index.astype(np.int16)
    return np.stack([table[picks[..., c], c] for c in range(3)], axis=-1)


def _develop(linear: np.ndarray) -> np.ndarray:
    """Tone-map linear light to display values, with a soft shoulder."""
    return np.clip(linear / (1 + 0.3 * linear), 0, 1) ** np.float32(_GAMMA)


def _basis(directions: np.ndarray) -> np.ndarray:
    """``(..., 9)`` real spherical harmonics up to order 2."""
    x, y, z = np.moveaxis(directions, -1, 0)
    return np.stack(
        [
            np.full_like(x, 0.282095),
            0.488603 * y,
            0.488603 * z,
            0.488603 * x,
            1.092548 * x * y,
            1.092548 * y * z,
            0.315392 * (3 * z * z - 1),
            1.092548 * x * z,
            0.546274 * (x * x - y * y),
        ],
        axis=-1,
    )


def _read(path: Path) -> Panorama:
    """A panorama of the cache, or decoded."""
    found = _cache.pop(path, None) or _decode(path)
    _cache[path] = found  # the last one is the most recent
    while (
        len(_cache) > 1
        and sum(panorama.encoded.nbytes for panorama in _cache.values())
        > _CACHE_BYTES
    ):
        del _cache[next(iter(_cache))]
    return found


def _load(path: Path) -> np.ndarray:
    """``(H, 2 H, 3)`` float32 BGR of a file."""
    image = imread(path, cv2.IMREAD_ANYDEPTH | cv2.IMREAD_COLOR)
    if image is None or image.dtype != np.float32:
        raise ValueError(f'panorama {path} cannot be read as a Radiance file')
    rows, columns = image.shape[:2]
    if columns != 2 * rows:
        raise ValueError(
            f'panorama {path} must be twice as wide as high '
            f'(equirectangular), got {columns} x {rows}'
        )
    return image


def _decode(path: Path) -> Panorama:
    image = np.nan_to_num(_load(path)[..., ::-1])
    median = max(float(np.median(image.mean(-1))), 1e-6)
    image = np.clip(image / median, 0, _BRIGHTEST)
    encoded = image**_GAMMA
    encoded = np.concatenate([encoded[:, -2:], encoded, encoded[:, :2]], 1)
    return Panorama(encoded.astype(np.float32), _irradiance(image))


def _irradiance(image: np.ndarray) -> np.ndarray:
    """``(9, 3)`` irradiance coefficients of a panorama."""
    parts = [
        _radiance(image, start) for start in range(0, len(image), _BLOCK_ROWS)
    ]
    return sum(parts) * _BANDS[:, None]


def _radiance(image: np.ndarray, start: int) -> np.ndarray:
    """``(9, 3)`` share of a block of rows in the harmonics of a panorama."""
    rows, columns = image.shape[:2]
    image = image[start : start + _BLOCK_ROWS]
    row = start + np.arange(len(image))
    up = np.pi * (0.5 - (row + 0.5) / rows)[:, None]
    right = 2 * np.pi * ((np.arange(columns) + 0.5) / columns - 0.5)[None]
    directions = np.stack(
        [
            np.cos(up) * np.sin(right),
            np.sin(up) + 0 * right,
            -np.cos(up) * np.cos(right),
        ],
        axis=-1,
    )
    area = np.cos(up) * (2 * np.pi / columns) * (np.pi / rows)
    return np.einsum(
        'hwk,hwc,hw->kc', _basis(directions), image, area + 0 * right
    )


@lru_cache(maxsize=1)
def _detail() -> np.ndarray:
    """``(512, 512)`` tileable noise, the same in every process."""
    return smooth_noise(np.random.default_rng(0), cells=(16, 64, 128, 256))


def sample_environment(
    rng: np.random.Generator, panoramas: tuple[Path, ...]
) -> Environment:
    """Draws a panorama, its rotation and exposure.

    Args:
        rng: Random generator.
        panoramas: Files to draw from.

    Returns:
        The environment.
    """
    return Environment(
        panorama=panoramas[rng.integers(len(panoramas))],
        turn=float(rng.uniform(-np.pi, np.pi)),
        mirrored=bool(rng.random() < 0.5),
        exposure=float(np.exp(rng.normal(0, 0.22))),
        balance=float(rng.uniform(0.4, 1.0)),
        detail=float(rng.uniform(0.0, 0.05)),
    )


def list_panoramas(folder: str | Path) -> list[Path]:
    """Panoramas of a folder, sorted.

    Args:
        folder: Folder with equirectangular Radiance files (``.hdr``).

    Returns:
        The files.

    Raises:
        FileNotFoundError: If the folder is missing or holds no panorama.
        ValueError: If a file is not one.
    """
    files = [
        path
        for path in visible_paths(Path(folder))
        if path.suffix.lower() == '.hdr' and path.is_file()
    ]
    if not files:
        raise FileNotFoundError(f'{folder} contains no panoramas (.hdr)')
    for path in files:  # not after hours of rendering
        _load(path)
    return files
