# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Procedural textures: tileable floors and walls, and outdoor panoramas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

_SIZE = 512


@dataclass(frozen=True)
class Texture:
    """A tileable image and its size in the world.

    Attributes:
        image: ``(512, 512, 3)`` float32 RGB in 0..1.
        meters: Side of the image, meters.
    """

    image: np.ndarray
    meters: float


def smooth_noise(
    rng: np.random.Generator,
    size: int = _SIZE,
    cells: tuple[int, ...] = (4, 16, 64, 256),
) -> np.ndarray:
    """Tileable noise of several octaves.

    Args:
        rng: Random generator.
        size: Side in pixels.
        cells: Cells per side of each octave; the first weighs most.

    Returns:
        ``(size, size)`` float32, mean 0, standard deviation about 1.
    """
    total = np.zeros((size, size), np.float32)
    for octave, n in enumerate(cells):
        grid = rng.standard_normal((n, n), np.float32)
        padded = np.pad(grid, 1, mode='wrap')
        scale = size / n
        wide = cv2.resize(
            padded, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR
        )
        edge = int(scale)
        total += wide[edge : edge + size, edge : edge + size] * 0.7**octave
    return total / max(float(total.std()), 1e-6)


def random_hue(
    rng: np.random.Generator,
    saturation: tuple[int, int],
    value: tuple[int, int],
) -> np.ndarray:
    """Draws a color of any hue.

    Args:
        rng: Random generator.
        saturation: Range of OpenCV's S, 0 to 255.
        value: Range of OpenCV's V, 0 to 255.

    Returns:
        ``(3,)`` RGB in 0..1.
    """
    hsv = [
        rng.integers(180),
        rng.integers(*saturation),
        rng.integers(*value),
    ]
    pixel = np.array(hsv, np.uint8).reshape(1, 1, 3)
    return cv2.cvtColor(pixel, cv2.COLOR_HSV2RGB)[0, 0] / 255.0


def _tint(base: np.ndarray, light: np.ndarray) -> np.ndarray:
    tinted = base.astype(np.float32) * (1 + light[..., None])
    return np.clip(tinted, 0, 1)


def _joints(
    image: np.ndarray,
    rows: int,
    columns: int,
    width: int,
    color: np.ndarray,
    shift: bool,
) -> None:
    """Draws the joints of tiles, bricks or planks into an image."""
    h, w = _SIZE // rows, _SIZE // columns
    for r in range(rows):
        image[r * h : r * h + width] = color
        offset = (r % 2) * w // 2 if shift else 0
        for c in range(columns):
            x = (c * w + offset) % _SIZE
            image[r * h : (r + 1) * h, x : x + width] = color


def _cells(
    rng: np.random.Generator,
    rows: int,
    columns: int,
    spread: float,
    shift: bool,
) -> np.ndarray:
    """Brightness that varies between tiles."""
    grid = rng.normal(0, spread, (rows, columns)).astype(np.float32)
    light = np.repeat(np.repeat(grid, _SIZE // rows, 0), _SIZE // columns, 1)
    if shift:
        for r in range(1, rows, 2):
            band = slice(r * _SIZE // rows, (r + 1) * _SIZE // rows)
            light[band] = np.roll(light[band], _SIZE // columns // 2, 1)
    return light


def _tiles(
    rng: np.random.Generator,
    base: np.ndarray,
    rows: int,
    columns: int,
    shift: bool,
    spread: float = 0.05,
) -> np.ndarray:
    light = _cells(rng, rows, columns, spread, shift)
    image = _tint(base, light + 0.03 * smooth_noise(rng))
    _joints(image, rows, columns, 3, base * rng.uniform(0.55, 1.15), shift)
    return np.clip(image, 0, 1)


def _planks(rng: np.random.Generator) -> np.ndarray:
    base = np.array([0.52, 0.36, 0.22]) * rng.uniform(0.6, 1.4)
    grain = cv2.resize(smooth_noise(rng)[:, :64], (_SIZE, _SIZE))
    image = _tint(base, _cells(rng, 16, 2, 0.1, False) + 0.07 * grain)
    _joints(image, 16, 2, 2, base * 0.5, False)
    height = _SIZE // 16
    for row in range(16):  # shift the ends of planks
        band = slice(row * height, (row + 1) * height)
        image[band] = np.roll(image[band], int(rng.integers(_SIZE)), 1)
    return image


def _speckle(
    base: tuple[float, float, float], strength: float, cells: tuple[int, ...]
) -> Callable[..., np.ndarray]:
    def draw(rng: np.random.Generator) -> np.ndarray:
        color = np.array(base) * rng.uniform(0.7, 1.25)
        color = color * (1 + rng.normal(0, 0.06, 3))
        return _tint(color, strength * smooth_noise(rng, cells=cells))

    return draw


def _muted(rng: np.random.Generator) -> np.ndarray:
    return random_hue(rng, (5, 90), (90, 235))


def _stone_tiles(rng: np.random.Generator) -> np.ndarray:
    n = int(rng.choice([2, 4, 8]))
    return _tiles(
        rng,
        np.array([0.6, 0.58, 0.55]) * rng.uniform(0.6, 1.4),
        n,
        n,
        bool(rng.random() < 0.3),
    )


def _checker(rng: np.random.Generator) -> np.ndarray:
    image = _tiles(rng, _muted(rng), 4, 4, False)
    index = np.arange(_SIZE) * 4 // _SIZE
    odd = (index[:, None] + index[None]) % 2 == 1
    image[odd] *= rng.uniform(0.45, 0.8)
    return image


def _carpet(rng: np.random.Generator) -> np.ndarray:
    return _tint(_muted(rng), 0.06 * smooth_noise(rng, cells=(8, 128, 256)))


def _bricks(rng: np.random.Generator) -> np.ndarray:
    base = np.array([0.55, 0.3, 0.22]) * rng.uniform(0.6, 1.5)
    return _tiles(rng, base, 16, 8, True, 0.12)


def _plaster(rng: np.random.Generator) -> np.ndarray:
    return _tint(_muted(rng), 0.02 * smooth_noise(rng))


def _wallpaper(rng: np.random.Generator) -> np.ndarray:
    image = _plaster(rng)
    n = int(rng.choice([8, 16, 32]))
    stripes = (np.arange(_SIZE) * n // _SIZE) % 2 == 1
    image[:, stripes] *= rng.uniform(0.8, 0.95)
    return image


FLOORS: dict[str, dict[str, Callable[..., np.ndarray]]] = {
    'indoor': {
        'planks': _planks,
        'tiles': _stone_tiles,
        'carpet': _carpet,
        'checker': _checker,
        'concrete': _speckle((0.55, 0.55, 0.54), 0.06, (4, 16, 64, 256)),
    },
    'outdoor': {
        'grass': _speckle((0.27, 0.4, 0.16), 0.16, (8, 64, 256)),
        'asphalt': _speckle((0.36, 0.36, 0.37), 0.1, (4, 128, 256)),
        'paving': _stone_tiles,
        'sand': _speckle((0.74, 0.64, 0.46), 0.07, (4, 32, 256)),
        'earth': _speckle((0.42, 0.33, 0.24), 0.14, (8, 32, 128)),
    },
}
WALLS: dict[str, Callable[..., np.ndarray]] = {
    'plaster': _plaster,
    'wallpaper': _wallpaper,
    'bricks': _bricks,
}


def texture(
    rng: np.random.Generator, table: dict[str, Callable[..., np.ndarray]]
) -> Texture:
    """Draws one texture of a table.

    Args:
        rng: Random generator.
        table: :data:`WALLS` or an entry of :data:`FLOORS`.

    Returns:
        The texture, 1.6 to 3 m wide.
    """
    name = str(rng.choice(list(table)))
    return Texture(table[name](rng), rng.uniform(1.6, 3.0))


def panorama(
    rng: np.random.Generator, rows: int = 256, columns: int = 1024
) -> np.ndarray:
    """Outdoor surroundings: sky, clouds, houses and trees.

    Args:
        rng: Random generator.
        rows: Elevation 0.7 rad (top) to -0.02 rad (bottom).
        columns: Azimuth -1.2 to 1.2 rad.

    Returns:
        ``(rows, columns, 3)`` float32 RGB in 0..1.
    """
    height = np.linspace(1, 0, rows, dtype=np.float32)[:, None, None]
    zenith = np.array([0.3, 0.5, 0.8]) * rng.uniform(0.6, 1.15)
    horizon = np.array([0.8, 0.85, 0.9]) * rng.uniform(0.75, 1.08)
    image = horizon + height * (zenith - horizon)
    clouds = cv2.resize(
        smooth_noise(rng, 256, (4, 8, 32, 64)), (columns, rows)
    )[..., None]
    cover = np.clip((clouds - rng.uniform(-0.5, 1.5)) * 0.6, 0, 1)
    image = image + cover * (np.array([0.93, 0.94, 0.96]) - image) * 0.9
    image = np.ascontiguousarray(image, np.float32)
    if rng.random() < 0.6:
        _draw_houses(rng, image)
    if rng.random() < 0.8:
        _draw_trees(rng, image)
    return np.clip(cv2.GaussianBlur(image, (0, 0), 1.2), 0, 1)


def _draw_houses(rng: np.random.Generator, image: np.ndarray) -> None:
    rows, columns = image.shape[:2]
    x = -int(rng.integers(0, 60))
    while x < columns:
        width, top = int(rng.integers(50, 170)), int(rng.integers(20, 200))
        top = rows - top
        color = _muted(rng) * 0.8
        cv2.rectangle(image, (x, top), (x + width, rows), color.tolist(), -1)
        pane = (color * rng.uniform(0.3, 0.7)).tolist()
        step = int(rng.integers(14, 24))
        for wy in range(top + 6, rows - 12, step):
            for wx in range(x + 6, x + width - 10, step):
                cv2.rectangle(image, (wx, wy), (wx + 7, wy + 10), pane, -1)
        x += width + (int(rng.integers(0, 80)) if rng.random() < 0.5 else 0)


def _draw_trees(rng: np.random.Generator, image: np.ndarray) -> None:
    rows, columns = image.shape[:2]
    green = np.array([0.2, 0.32, 0.13]) * rng.uniform(0.6, 1.4)
    for _ in range(int(rng.integers(8, 40))):
        x, size = int(rng.integers(0, columns)), int(rng.integers(12, 60))
        for _ in range(12):
            center = (
                x + int(rng.normal(0, size / 3)),
                rows - int(abs(rng.normal(size, size / 3))),
            )
            shade = np.clip(green * rng.uniform(0.7, 1.35), 0, 1).tolist()
            cv2.circle(
                image,
                center,
                max(2, int(size * rng.uniform(0.2, 0.5))),
                shade,
                -1,
                cv2.LINE_AA,
            )
        cv2.rectangle(
            image, (x - 2, rows - size), (x + 2, rows), (0.24, 0.17, 0.11), -1
        )
    hedge = int(rng.integers(4, 20))
    image[rows - hedge :] = green * rng.uniform(0.6, 0.9)
