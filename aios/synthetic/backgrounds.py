# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Backgrounds: a room, an outdoor scene, or a photograph."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from aios.synthetic.textures import FLOORS, WALLS, Texture, panorama, texture
from aios.synthetic.views import View
from aios.utils.folders import visible_paths
from aios.utils.images import MAX_PIXELS, imread, read_header

_EXTENSIONS = ('.jpg', '.jpeg', '.png', '.webp', '.bmp')
_UNREADABLE = 'background {} cannot be read as an image'
_FAR = 60.0


@dataclass(frozen=True)
class Surroundings:
    """Procedural surroundings, with either walls or a panorama.

    Attributes:
        floor: Floor texture.
        floor_turn: Rotation of the floor texture, radians.
        walls: Textures of the back, left and right wall, and the ceiling.
        wall_distances: Distances of back, left and right wall and the
            ceiling's height, meters.
        panorama: Outdoor surroundings.
        haze: ``(3,)`` color of distant surfaces.
        blur: Defocus, pixels per 640 pixels of width.
    """

    floor: Texture
    floor_turn: float
    walls: tuple[Texture, ...] = ()
    wall_distances: tuple[float, ...] = ()
    panorama: np.ndarray | None = None
    haze: np.ndarray | None = None
    blur: float = 0.8

    @property
    def outdoor(self) -> bool:
        """Whether the scene is outdoors."""
        return self.panorama is not None


def sample_surroundings(rng: np.random.Generator, view: View) -> Surroundings:
    """Draws a room or an outdoor scene large enough for the view.

    Args:
        rng: Random generator.
        view: The camera.

    Returns:
        The surroundings.
    """
    outdoor = rng.random() < 0.5
    floor = texture(rng, FLOORS['outdoor' if outdoor else 'indoor'])
    turn = float(rng.uniform(-np.pi, np.pi))
    blur = float(rng.uniform(0.8, 2.2))
    if outdoor:
        sky = panorama(rng)
        return Surroundings(
            floor, turn, panorama=sky, haze=sky[-40:].mean((0, 1)), blur=blur
        )
    wall = texture(rng, WALLS)
    back = (
        _decorate(rng, wall),
        wall,
        wall,
        Texture(np.full((8, 8, 3), rng.uniform(0.75, 0.97), np.float32), 2.0),
    )
    depth = view.subject_distance * rng.uniform(2.3, 3.0) + 1.0
    side = max(2.5, depth * rng.uniform(0.4, 0.9))
    distances = (
        depth,
        side,
        side * rng.uniform(0.7, 1.4),
        max(2.6, view.position[1] + 0.7) + rng.uniform(0, 1.5),
    )
    return Surroundings(floor, turn, back, distances, blur=blur)


def _decorate(rng: np.random.Generator, wall: Texture) -> Texture:
    """Add windows, doors, shelves and images to a wall.

    The result is 2 x 2 tiles of the wall; its lower edge is at the floor.
    """
    image = np.tile(wall.image, (2, 2, 1))
    meters = 2 * wall.meters
    scale = len(image) / meters
    x = 0.2
    while x < meters - 1.0:
        kind = rng.choice(
            ['door', 'window', 'image', 'shelf', 'none'],
            p=[0.15, 0.2, 0.25, 0.2, 0.2],
        )
        width = {
            'door': 0.9,
            'window': rng.uniform(0.8, 1.5),
            'shelf': rng.uniform(0.6, 1.2),
        }.get(str(kind), rng.uniform(0.3, 0.9))
        low, high = {
            'door': (0.0, 2.05),
            'shelf': (0.0, 1.9),
            'window': (0.9, 2.1),
        }.get(str(kind), (1.2, rng.uniform(1.5, 2.0)))
        if kind != 'none':
            box = [
                int(v * scale)
                for v in (x, meters - high, x + width, meters - low)
            ]
            _draw_object(rng, image, str(kind), box)
        x += width + rng.uniform(0.2, 1.2)
    skirting = int(0.08 * scale)
    image[-skirting:] *= 0.75
    return Texture(image, meters)


def _draw_object(
    rng: np.random.Generator, image: np.ndarray, kind: str, box: list[int]
) -> None:
    x0, y0, x1, y1 = box
    wood = np.array([0.45, 0.32, 0.2]) * rng.uniform(0.5, 1.9)
    frame = np.clip(wood, 0, 1).tolist()
    cv2.rectangle(image, (x0, y0), (x1, y1), frame, -1)
    if kind == 'door':
        cv2.rectangle(
            image,
            (x0 + 8, y0 + 8),
            (x1 - 8, y1),
            np.clip(wood * 1.15, 0, 1).tolist(),
            -1,
        )
        return
    border = 6 if kind != 'shelf' else 4
    inner = image[y0 + border : y1 - border, x0 + border : x1 - border]
    if inner.size == 0:
        return
    if kind == 'window':
        glow = np.linspace(1.0, 0.75, len(inner))[:, None, None]
        inner[:] = glow * np.array([0.85, 0.92, 1.0])
        inner[:, inner.shape[1] // 2 - 2 : inner.shape[1] // 2 + 2] = frame
    elif kind == 'image':
        noise = rng.random((3, 3, 3)).astype(np.float32)
        inner[:] = cv2.resize(
            noise, inner.shape[1::-1], interpolation=cv2.INTER_CUBIC
        ).clip(0, 1)
    else:
        _draw_books(rng, inner, frame)


def _draw_books(
    rng: np.random.Generator, inner: np.ndarray, frame: list[float]
) -> None:
    inner[:] = np.array(frame) * 0.5
    board = max(24, len(inner) // 5)
    for y in range(board, len(inner) + board, board):
        bottom = min(y, len(inner)) - 4
        x = 2
        while x < inner.shape[1] - 8:
            width, tall = int(rng.integers(4, 11)), rng.uniform(0.5, 0.9)
            inner[
                max(0, bottom - int(board * tall)) : bottom, x : x + width
            ] = rng.uniform(0.05, 0.8, 3)
            x += width + (
                int(rng.integers(0, 40)) if rng.random() < 0.1 else 1
            )
        inner[bottom : bottom + 4] = frame


def _sample(
    image: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    meters: float,
    footprint: np.ndarray,
) -> np.ndarray:
    """Sample a texture, fading to its mean color at a distance."""
    scale = image.shape[0] / meters
    size = image.shape[0]
    map_x = np.mod(x * scale, size).astype(np.float32)
    map_y = np.mod(y * scale, size).astype(np.float32)
    color = cv2.remap(
        image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP
    )
    fade = np.clip(footprint * scale / 12, 0, 1)[..., None]
    return color + fade * (np.array(cv2.mean(image)[:3], np.float32) - color)


def _floor(
    place: Surroundings, view: View, rays: np.ndarray, distance: np.ndarray
) -> np.ndarray:
    x = rays[..., 0] * distance
    z = rays[..., 2] * distance
    cos, sin = math.cos(place.floor_turn), math.sin(place.floor_turn)
    # Meters per pixel along the floor, by the grazing angle.
    footprint = distance**2 / float(view.position[1] * view.camera.focal[0])
    color = _sample(
        place.floor.image,
        cos * x - sin * z,
        sin * x + cos * z,
        place.floor.meters,
        footprint,
    )
    if place.haze is not None:
        fade = np.clip(distance / _FAR, 0, 1)[..., None] ** 1.5
        color = color + 0.8 * fade * (place.haze - color)
    return color


def _walls(
    place: Surroundings,
    view: View,
    rays: np.ndarray,
    image: np.ndarray,
    nearest: np.ndarray,
) -> None:
    """Draw the walls and the ceiling where they are nearest."""
    back, left, right, top = place.wall_distances
    height, focal = float(view.position[1]), float(view.camera.focal[0])
    planes = (
        (2, -back, 0, 1),
        (0, -left, 2, 1),
        (0, right, 2, 1),
        (1, top - height, 0, 2),
    )
    light = (1.0, 0.88, 0.94, 1.0)
    with np.errstate(divide='ignore', invalid='ignore'):
        for wall, (axis, offset, u, v), gain in zip(
            place.walls, planes, light, strict=True
        ):
            distance = offset / rays[..., axis]
            seen = (distance > 0) & (distance < nearest)
            if not seen.any():
                continue
            where = np.where(seen, distance, 1.0)
            across = rays[..., u] * where
            up = -(rays[..., v] * where + (height if v == 1 else 0.0))
            color = _sample(
                wall.image,
                across,
                up,
                wall.meters,
                where / focal,
            )
            image[seen] = gain * color[seen]
            nearest[seen] = distance[seen]


def render_surroundings(
    place: Surroundings, view: View
) -> tuple[np.ndarray, np.ndarray]:
    """Draws the surroundings without persons.

    Args:
        place: The surroundings.
        view: The camera.

    Returns:
        ``(H, W, 3)`` float32 RGB in 0..1 and the ``(H, W)`` float32 mask of
        the floor.
    """
    # Half resolution suffices, since surroundings are out of focus.
    rays = view.rays(2)
    down = rays[..., 1] < -1e-4
    distance = np.where(
        down, -view.position[1] / np.minimum(rays[..., 1], -1e-4), np.inf
    )
    clipped = np.minimum(distance, _FAR).astype(np.float32)
    image = _floor(place, view, rays, clipped)
    floor = down & (distance < _FAR)
    if place.panorama is not None:
        sky = _sky(place.panorama, rays)
        image = np.where(floor[..., None], image, sky)
    else:
        nearest = distance.astype(np.float32)
        _walls(place, view, rays, image, nearest)
        floor = down & (nearest >= distance * 0.9999)
    sigma = place.blur * view.camera.width / 640 / 2
    image = cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma)
    height, width = view.camera.height, view.camera.width

    def enlarge(small: np.ndarray) -> np.ndarray:
        large = cv2.resize(
            small, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR
        )
        return np.clip(large[:height, :width], 0, 1)

    return enlarge(image), enlarge(floor.astype(np.float32))


def _sky(panorama: np.ndarray, rays: np.ndarray) -> np.ndarray:
    rows, columns = panorama.shape[:2]
    flat = np.hypot(rays[..., 0], rays[..., 2])
    azimuth = np.arctan2(rays[..., 0], -rays[..., 2])
    elevation = np.arctan2(rays[..., 1], flat)
    x = (azimuth + 1.2) / 2.4 * columns
    y = (0.7 - elevation) / 0.72 * rows
    return cv2.remap(
        panorama,
        x.astype(np.float32),
        np.clip(y, 0, rows - 1).astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )


def list_images(folder: str | Path) -> list[Path]:
    """Images of a folder and its sub-folders, sorted.

    Args:
        folder: Folder with ``.jpg``, ``.jpeg``, ``.png``, ``.webp`` or
            ``.bmp`` files.

    Returns:
        The files.

    Raises:
        FileNotFoundError: If the folder is missing or holds no image.
        ValueError: If a file is not an image, by its first bytes.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f'background folder {folder} does not exist')
    files = [
        path
        for path in visible_paths(folder, '**/*')
        if path.suffix.lower() in _EXTENSIONS and path.is_file()
    ]
    if not files:
        raise FileNotFoundError(
            f'background folder {folder} contains no images '
            f'({", ".join(_EXTENSIONS)})'
        )
    for path in files:  # not after hours of rendering
        with path.open('rb') as stream:
            header = read_header(stream)
        if header is None or math.prod(header.size) > MAX_PIXELS:
            raise ValueError(
                f'{_UNREADABLE.format(path)} of at most {MAX_PIXELS:,} pixels'
            )
    return files


def photo_background(
    rng: np.random.Generator, path: Path, width: int, height: int
) -> np.ndarray:
    """A random crop of an image, resized.

    Args:
        rng: Random generator.
        path: Image file.
        width: Pixels.
        height: Pixels.

    Returns:
        ``(height, width, 3)`` float32 RGB in 0..1.

    Raises:
        ValueError: If the file is not a readable image.
    """
    image = imread(path)
    if image is None:
        raise ValueError(
            f'{_UNREADABLE.format(path)}; replace it by an image of the same '
            'name, and continue with --resume (resume=True)'
        )
    h, w = image.shape[:2]
    share = rng.uniform(0.7, 1.0) * min(w / width, h / height)
    cw, ch = max(1, int(width * share)), max(1, int(height * share))
    x, y = rng.integers(0, w - cw + 1), rng.integers(0, h - ch + 1)
    crop = image[y : y + ch, x : x + cw, ::-1]
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    out = cv2.resize(
        np.ascontiguousarray(crop),
        (width, height),
        interpolation=cv2.INTER_AREA,
    )
    return out.astype(np.float32) / 255
