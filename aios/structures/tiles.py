# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Overlapping tiles of an image, for crowds and distant persons.

A network finds a limited number of persons per image, and none that are much
smaller than in training.  Tiles of an enlarged image have fewer and larger
ones (as in SAHI, https://arxiv.org/abs/2202.06934).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from .arrays import library_of
from .boxes import cxcywh_to_xyxy
from .camera import VIRTUAL_FOCAL
from .decoding import DecodingConfig

if TYPE_CHECKING:
    from torch import Tensor

ArrayT = TypeVar('ArrayT', np.ndarray, 'Tensor')

_OVERLAP = 0.25  # of the side of a tile
_MIN_SIZE = 40  # of persons in the whole image, as in PyramidLevel
_BORDER = 0.02  # of the side of a tile; nearer boxes are cut
_PUBLISHED_SCALE = (1333, 800)


def tile_spans(side: int, count: int) -> list[tuple[int, int]]:
    """Begin and end of overlapping tiles along a side of an image.

    Args:
        side: Length of the side, pixels.
        count: Number of tiles.

    Returns:
        ``count`` pairs; all tiles have the same length.
    """
    length = min(side, math.ceil(side / (count - _OVERLAP * (count - 1))))
    begins = np.linspace(0, side - length, count).round().astype(int).tolist()
    return [(begin, begin + length) for begin in begins]


@dataclass(frozen=True)
class Tile(Generic[ArrayT]):
    """Position of a tile in its image; pixels, ``(..., 2)`` for x and y.

    Args:
        offset: Its first corner.
        size: Its size.
        image_size: Size of the image.
    """

    offset: ArrayT
    size: ArrayT
    image_size: ArrayT

    def points(self, points: ArrayT) -> ArrayT:
        """Fractions of the image, from those of the tile, ``(..., 2)``."""
        return (points * self.size + self.offset) / self.image_size

    def boxes(self, boxes: ArrayT) -> ArrayT:
        """Fractions of the image, from those of the tile, cxcywh."""
        parts = (
            self.points(boxes[..., :2]),
            boxes[..., 2:] * self.size / self.image_size,
        )
        joined: ArrayT = library_of(boxes).concatenate(parts, -1)
        return joined

    def camera(self, camera: ArrayT) -> ArrayT:
        """Raw ``(s, tx, ty)`` for the image, from that for the tile."""
        center = self.offset + self.size / 2 - self.image_size / 2
        parts = camera[..., :1], camera[..., 1:] + center / VIRTUAL_FOCAL
        joined: ArrayT = library_of(camera).concatenate(parts, -1)
        return joined

    def cuts(self, boxes: ArrayT) -> ArrayT:
        """Whether boxes end at a border inside the image, where they are cut.

        Args:
            boxes: ``(..., 4)`` cxcywh, fractions of the tile.

        Returns:
            ``(...)`` bool.
        """
        corners = cxcywh_to_xyxy(boxes)
        end = self.offset + self.size
        first = (corners[..., :2] < _BORDER) & (self.offset > 0)
        last = (corners[..., 2:] > 1 - _BORDER) & (end < self.image_size)
        touched: ArrayT = first | last
        return touched[..., 0] | touched[..., 1]


def tiled_test_cfg(
    test_cfg: Mapping[str, Any] | None, count: int
) -> dict[str, Any]:
    """``test_cfg`` for an image that is enlarged and cut into tiles.

    Args:
        test_cfg: See :class:`~aios.structures.decoding.DecodingConfig`.
        count: Number of tiles per side, and the factor of the image.

    Returns:
        With ``count``² times as many persons, and the first level of the
        pyramid in tiles besides all levels as before; unchanged for 1.

    Raises:
        ValueError: If the count is not positive.
    """
    if count < 1:
        raise ValueError(f'tiles must be positive, got {count}')
    if count == 1:
        return dict(test_cfg or {})
    before = DecodingConfig.read(test_cfg)
    first, *others = before.pyramid
    levels = [
        replace(first, tiles=count),
        replace(
            first,
            scale=first.scale / count,
            min_size=max(first.min_size, _MIN_SIZE),
        ),
        *(replace(level, scale=level.scale / count) for level in others),
    ]
    return dict(test_cfg or {}) | dict(
        max_per_img=count**2 * before.max_per_img,
        pyramid=[asdict(level) for level in levels],
    )


def enlarged_resize(step: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Arguments of a resizing step, with limits that are ``count`` times.

    Args:
        step: See :class:`~aios.datasets.transforms.WholeBodyResize`.
        count: See :func:`tiled_test_cfg`.
    """
    step = dict(scale=_PUBLISHED_SCALE) | dict(step)
    limits = {
        name: tuple(count * side for side in step[name])
        for name in ('scale', 'enlarged_scale')
        if step.get(name) is not None
    }
    return step | limits
