# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Test-time image pyramid, as of the detector in PyTorch.

Legend: ``B`` images, ``P`` candidates of a level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy as np
from PIL import Image

from aios.structures.tiles import Tile, tile_spans

Outputs = dict[str, np.ndarray]


def resize_images(images: np.ndarray, scale: float) -> np.ndarray:
    """Downscale images; Pillow's bilinear filter equals that of PyTorch.

    Args:
        images: ``(B, 3, h, w)`` float32.
        scale: At most 1; sides are rounded up.
    """
    if scale == 1:
        return images
    height, width = (math.ceil(side * scale) for side in images.shape[-2:])
    bilinear = Image.Resampling.BILINEAR
    resized = [
        np.asarray(Image.fromarray(x).resize((width, height), bilinear))
        for x in images.reshape(-1, *images.shape[-2:])
    ]
    return np.stack(resized).reshape(*images.shape[:2], height, width)


def run_tiles(
    images: np.ndarray,
    count: int,
    run: Callable[[np.ndarray], list[Outputs]],
) -> list[Outputs]:
    """Outputs for overlapping tiles of images.

    Args:
        images: ``(B, 3, h, w)``.
        count: Number of tiles per side.
        run: Outputs ``(P, ...)`` by name, for each image of a batch.

    Returns:
        Outputs of all tiles for each image. Persons who are cut by a border
        of a tile have a probability of 0.
    """
    if count == 1:
        return run(images)
    size = np.array(images.shape[:-3:-1], np.float32)
    found: list[list[Outputs]] = [[] for _ in images]
    spans = [tile_spans(side, count) for side in images.shape[-2:]]
    for (top, bottom), (left, right) in product(*spans):
        offset = np.array([left, top], np.float32)
        tile = Tile(offset, np.array([right, bottom]) - offset, size)
        crop = np.ascontiguousarray(images[..., top:bottom, left:right])
        for outputs, tiles in zip(run(crop), found, strict=True):
            tiles.append(_in_image(outputs, tile))
    return [
        {name: np.concatenate([x[name] for x in tiles]) for name in tiles[0]}
        for tiles in found
    ]


def _in_image(outputs: Outputs, tile: Tile[np.ndarray]) -> Outputs:
    """Outputs for the image of a tile."""
    changed = {
        name: (tile.boxes if name.endswith('_box') else tile.points)(value)
        for name, value in outputs.items()
        if name.endswith(('_box', '_keypoints'))
    }
    cut = tile.cuts(outputs['body_box'])[:, None]
    changed['logits'] = np.where(cut, -np.inf, outputs['logits'])
    changed['camera'] = tile.camera(outputs['camera'])
    return outputs | {
        name: value.astype(outputs[name].dtype)
        for name, value in changed.items()
    }


def join_levels(
    levels: Sequence[tuple[Mapping[str, np.ndarray], tuple[int, int]]],
    size: tuple[int, int],
) -> dict[str, np.ndarray]:
    """Concatenate the candidates of all levels.

    Args:
        levels: Outputs ``(P, ...)`` by name, and ``(width, height)`` of the
            image at the level.
        size: ``(width, height)`` of the image.

    Returns:
        Outputs of all levels by name, with cameras of the whole image, and
        ``levels``, the index of the level of each candidate.
    """
    cameras = []
    for outputs, level_size in levels:
        ratio = np.divide(size, level_size)
        factors = np.array([ratio.mean(), *ratio], outputs['camera'].dtype)
        cameras.append(outputs['camera'] * factors)
    joined = {
        name: np.concatenate([outputs[name] for outputs, _ in levels])
        for name in levels[0][0]
    }
    counts = [len(camera) for camera in cameras]
    return joined | {
        'camera': np.concatenate(cameras),
        'levels': np.repeat(np.arange(len(levels)), counts),
    }
