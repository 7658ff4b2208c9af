# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Rasteriser in plain NumPy, for an OpenCV that has none (4.x).

A z-buffer by scan lines, with every loop over triangles, rows and pixels
turned into array operations: triangles are expanded to the image rows they
cross, rows to the pixels between their two ends, and the nearest triangle of
each pixel is found with ``np.minimum.at`` on keys that hold the depth in the
upper and the triangle in the lower 32 bits.

Symbols: ``N`` triangles, ``R`` (triangle, row) pairs, ``S`` samples, that is
(triangle, pixel) pairs.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

__all__ = ['rasterize']

# Upper bound on array lengths, so that memory does not depend on the scene.
CHUNK = 500_000
EMPTY = np.iinfo(np.int64).max


def rasterize(
    vertices: np.ndarray,
    faces: np.ndarray,
    colors: np.ndarray,
    K: np.ndarray,
    height: int,
    width: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one mesh into an empty image.

    A pixel belongs to a triangle if its centre, at (column + 0.5, row + 0.5),
    lies inside or on the edge. Colours are interpolated with perspective.

    Args:
        vertices (np.ndarray): (V, 3) float32 camera coordinates, z > 0.
        faces (np.ndarray): (F, 3) int32, at least one.
        colors (np.ndarray): (V, 3) float32 in [0, 1].
        K (np.ndarray): (3, 3) float64 intrinsics.
        height (int): Image height in pixels.
        width (int): Image width in pixels.

    Returns:
        tuple[np.ndarray, np.ndarray]: Colours (H, W, 3) float32 and depths
        (H, W) float32 in metres, ``inf`` where the image is empty (its
        colours there mean nothing).
    """
    projected = vertices @ K.T
    inverse_z = 1.0 / projected[:, 2]
    pixels = projected[:, :2] * inverse_z[:, None]
    triangles = _Triangles(pixels, inverse_z, faces, height, width)
    keys = np.full(height * width, EMPTY, np.int64)
    for part in _chunks(triangles.num_rows, CHUNK):
        _draw(triangles, part, keys, width)
    return _resolve(triangles, keys, colors, height, width)


class _Triangles:
    """Triangles in pixel coordinates with what rasterising needs of them.

    Attributes:
        faces (np.ndarray): (N, 3) those with an area that may be visible.
        origin (np.ndarray): (N, 2) pixel centre near each triangle. The
            functions below are relative to it, for the sake of precision.
        edges (np.ndarray): (N, 3, 3) linear functions (a, b, c): barycentric
            coordinate k at (x, y) is ``a x + b y + c``.
        corner_inverse_z (np.ndarray): (N, 3) 1 / z of the corners.
        first_row (np.ndarray): (N,) int64.
        num_rows (np.ndarray): (N,) int64 rows crossed, within the image.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        inverse_z: np.ndarray,
        faces: np.ndarray,
        height: int,
        width: int,
    ) -> None:
        corners = pixels[faces]
        # Centres are at .5: the first one at or below y is ceil(y - 0.5).
        low = np.ceil(corners.min(1) - 0.5)
        high = np.floor(corners.max(1) - 0.5)
        low = np.maximum(low, 0)
        high = np.minimum(high, [width - 1, height - 1])
        u = corners[:, 1] - corners[:, 0]
        v = corners[:, 2] - corners[:, 0]
        area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
        kept = (high >= low).all(1) & (np.abs(area) > 1e-12)

        self.faces = faces[kept]
        self.origin = low[kept] + 0.5
        self.first_row = low[kept, 1].astype(np.int64)
        self.num_rows = (high - low + 1)[kept, 1].astype(np.int64)
        self.corner_inverse_z = inverse_z[self.faces]
        relative = corners[kept] - self.origin[:, None]
        following = np.roll(relative, -1, axis=1)
        last = np.roll(relative, -2, axis=1)
        self.edges = np.stack(
            [
                following[..., 1] - last[..., 1],
                last[..., 0] - following[..., 0],
                following[..., 0] * last[..., 1]
                - following[..., 1] * last[..., 0],
            ],
            axis=-1,
        )
        self.edges /= area[kept, None, None]

    def barycentric(
        self, index: np.ndarray, x: np.ndarray, y: np.ndarray
    ) -> np.ndarray:
        """(S, 3) screen-space weights of pixels (x, y) in triangles."""
        dx = x + 0.5 - self.origin[index, 0]
        dy = y + 0.5 - self.origin[index, 1]
        edges = self.edges[index]
        return (
            edges[..., 0] * dx[:, None]
            + edges[..., 1] * dy[:, None]
            + edges[..., 2]
        )


def _draw(
    triangles: _Triangles, part: slice, keys: np.ndarray, width: int
) -> None:
    """Enter the triangles ``part`` into the buffer of keys."""
    index = np.repeat(
        np.arange(part.start, part.stop), triangles.num_rows[part]
    )
    row = _count_up(triangles.num_rows[part])
    start, stop = _spans(triangles, index, row, width)
    crossed = np.flatnonzero(stop > start)
    index, row = index[crossed], row[crossed]
    start, stop = start[crossed], stop[crossed]

    # 1 / z is linear on the screen: value at the span's start, and slope.
    plane = np.einsum(
        'nkc,nk->nc', triangles.edges[part], triangles.corner_inverse_z[part]
    )[index - part.start]
    first = (
        plane[:, 0] * (start + 0.5 - triangles.origin[index, 0])
        + plane[:, 1] * row
        + plane[:, 2]
    )
    base = (row + triangles.first_row[index]) * width + start
    for rows in _chunks(stop - start, CHUNK):
        length = (stop - start)[rows]
        step = _count_up(length)
        z = 1.0 / (
            np.repeat(first[rows], length)
            + np.repeat(plane[rows, 0], length) * step
        )
        # The bits of a positive float, read as an integer, keep its order.
        key = z.astype(np.float32).view(np.int32).astype(np.int64)
        key = (key << 32) | np.repeat(index[rows], length)
        np.minimum.at(keys, np.repeat(base[rows], length) + step, key)


def _spans(
    triangles: _Triangles, index: np.ndarray, row: np.ndarray, width: int
) -> tuple[np.ndarray, np.ndarray]:
    """First and one-past-last column (R,) of triangles on their rows.

    ``row`` counts from each triangle's first row.
    """
    start = np.zeros(len(index))
    stop = np.full(len(index), float(width))
    origin = triangles.origin[:, 0][index]
    for k in range(3):
        a, b, c = triangles.edges[:, k][index].T
        value = b * row + c
        with np.errstate(divide='ignore', invalid='ignore'):
            column = origin - value / a - 0.5
        # Rounding must not open a crack between neighbours: a little slack.
        start = np.where(a > 0, np.maximum(start, column - 1e-6), start)
        stop = np.where(a < 0, np.minimum(stop, column + 1 + 1e-6), stop)
        stop = np.where((a == 0) & (value < 0), 0, stop)
    return (
        np.ceil(start).astype(np.int64),
        np.floor(stop).astype(np.int64),
    )


def _resolve(
    triangles: _Triangles,
    keys: np.ndarray,
    colors: np.ndarray,
    height: int,
    width: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Depth and interpolated colour of the nearest triangle per pixel."""
    depth = np.full(height * width, np.inf, np.float32)
    color = np.zeros((height * width, 3), np.float32)
    pixel = np.flatnonzero(keys != EMPTY)
    index = keys[pixel] & 0xFFFFFFFF
    depth[pixel] = (keys[pixel] >> 32).astype(np.int32).view(np.float32)
    y, x = np.divmod(pixel, width)
    weight = triangles.barycentric(index, x, y)
    weight = weight.clip(0) * triangles.corner_inverse_z[index]
    weight = (weight / weight.sum(1, keepdims=True)).astype(np.float32)
    corner = colors[triangles.faces[index]]
    color[pixel] = np.einsum('sk,skc->sc', weight, corner)
    return color.reshape(height, width, 3), depth.reshape(height, width)


def _count_up(lengths: np.ndarray) -> np.ndarray:
    """0, 1, .., n - 1 for each n in ``lengths``, in one flat array."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) - np.repeat(ends - lengths, lengths)


def _chunks(lengths: np.ndarray, limit: int) -> Iterator[slice]:
    """Slices of ``lengths``, each with a sum up to ``limit`` or one item."""
    ends = np.cumsum(lengths)
    start = 0
    while start < len(lengths):
        done = ends[start - 1] if start else 0
        stop = int(np.searchsorted(ends, done + limit, side='right'))
        stop = max(stop, start + 1)
        yield slice(start, stop)
        start = stop
