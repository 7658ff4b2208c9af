# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Test-time image pyramid of a batch.

Legend: ``B`` images, ``P`` candidates of a level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from torch import Tensor

from aios.models.heads.outputs import LayerOutputs, SMPLXParams
from aios.structures.decoding import PyramidLevel
from aios.structures.tiles import Tile, tile_spans
from aios.utils.tensors import tensor_like


def sizes_of(samples: Sequence[DetDataSample], like: Tensor) -> Tensor:
    """``(B, 2)`` float32 width and height of images without padding.

    Args:
        samples: Samples with ``img_shape``.
        like: Tensor on the device of the result.
    """
    sizes = [sample.img_shape[1::-1] for sample in samples]
    return tensor_like(sizes, like, torch.float32)


def padding_mask(
    feature: Tensor, samples: Sequence[DetDataSample] | None
) -> Tensor | None:
    """``(B, 1, H, W)``, 1 on padding and 0 on images; ``None`` for none.

    Args:
        feature: Tensor with the dtype and device of the result.
        samples: Samples with ``batch_input_shape`` and ``img_shape``.
    """
    if samples is None:
        return None
    height, width = samples[0].batch_input_shape
    sizes = [sample.img_shape[:2] for sample in samples]
    if all(tuple(size) == (height, width) for size in sizes):
        return None
    padding = feature.new_ones(len(sizes), 1, height, width)
    for image, (valid_height, valid_width) in zip(padding, sizes, strict=True):
        image[:, :valid_height, :valid_width] = 0
    return padding


def resize_images(images: Tensor, scale: float) -> Tensor:
    """Downscale images with anti-aliasing.

    Args:
        images: ``(B, C, height, width)``.
        scale: At most 1; sides are rounded up.
    """
    if scale == 1:
        return images
    return F.interpolate(
        images,
        size=[math.ceil(side * scale) for side in images.shape[-2:]],
        mode='bilinear',
        antialias=True,
    )


def _resize_batch(
    images: Tensor, samples: Sequence[DetDataSample], scale: float
) -> tuple[Tensor, Sequence[DetDataSample]]:
    """Downscale images and adapt their samples.

    Args:
        images: See :func:`resize_images`.
        samples: Samples with ``img_shape``.
        scale: See :func:`resize_images`.

    Returns:
        Images, and for a scale below 1 new samples with only ``img_shape``
        and ``batch_input_shape``.
    """
    if scale == 1:
        return images, samples
    resized = resize_images(images, scale)
    smaller = []
    for sample in samples:
        shape = tuple(math.ceil(x * scale) for x in sample.img_shape[:2])
        meta = dict(img_shape=shape, batch_input_shape=resized.shape[-2:])
        smaller.append(DetDataSample(metainfo=meta))
    return resized, smaller


Forward = Callable[[Tensor, Sequence[DetDataSample]], LayerOutputs]
"""Predictions for a batch."""


def predict_pyramid(
    images: Tensor,
    samples: Sequence[DetDataSample],
    pyramid: Sequence[PyramidLevel],
    forward: Forward,
) -> LayerOutputs:
    """Predictions of all levels and tiles.

    Args:
        images: ``(B, C, height, width)``.
        samples: Samples with ``img_shape``.
        pyramid: See ``pyramid`` of
            :class:`~aios.structures.decoding.DecodingConfig`.
        forward: Predictions for a batch.

    Returns:
        ``P`` of all levels, with ``levels``.
    """
    levels = []
    for level in pyramid:
        resized, smaller = _resize_batch(images, samples, level.scale)
        outputs = _predict_tiles(resized, smaller, level.tiles, forward)
        levels.append((outputs, sizes_of(smaller, resized)))
    return _join_levels(levels, sizes_of(samples, images))


def _predict_tiles(
    images: Tensor,
    samples: Sequence[DetDataSample],
    count: int,
    forward: Forward,
) -> LayerOutputs:
    """Predictions for overlapping tiles of images, ``count`` per side.

    Persons who are cut by a border of a tile have a probability of 0.
    """
    if count == 1:
        return forward(images, samples)
    outputs = []
    for image, sample in zip(images, samples, strict=True):
        # Tiles must not depend on the padding of the batch.
        height, width = sample.img_shape[:2]
        found = _tiles_of(image[:, :height, :width], count, forward)
        outputs.append(_combine([found], _join_tiles))
    return _combine(outputs, torch.cat)


def _join_tiles(tensors: list[Tensor]) -> Tensor:
    """Candidates ``(1, T P, ...)`` of an image, from ``(T, P, ...)``."""
    return tensors[0].flatten(0, 1)[None]


def _tiles_of(image: Tensor, count: int, forward: Forward) -> LayerOutputs:
    """Predictions for the tiles of an image ``(C, height, width)``."""
    spans = [tile_spans(side, count) for side in image.shape[-2:]]
    places = list(product(*spans))
    tiles = torch.stack([image[:, t:b, x:r] for (t, b), (x, r) in places])
    shape = tiles.shape[-2:]
    meta = dict(img_shape=shape, batch_input_shape=shape)
    samples = [DetDataSample(metainfo=meta) for _ in places]
    offsets = [[[left, top]] for (top, _), (left, _) in places]
    sizes = shape[::-1], image.shape[:-3:-1]
    tile = Tile(
        *(tensor_like(x, image, torch.float32) for x in (offsets, *sizes))
    )
    return _in_image(forward(tiles, samples), tile)


def _in_image(outputs: LayerOutputs, tile: Tile[Tensor]) -> LayerOutputs:
    """Predictions for the images of tiles."""
    cut = tile.cuts(outputs.boxes['body_box'])
    smplx = outputs.smplx
    if smplx is not None:
        smplx = replace(smplx, camera=tile.camera(smplx.camera))
    per_point = replace(tile, offset=tile.offset[..., None, :])
    return replace(
        outputs,
        logits=outputs.logits.masked_fill(cut[..., None], -math.inf),
        boxes={k: tile.boxes(x) for k, x in outputs.boxes.items()},
        points={k: per_point.points(x) for k, x in outputs.points.items()},
        smplx=smplx,
    )


def _join_levels(
    levels: Sequence[tuple[LayerOutputs, Tensor]], sizes: Tensor
) -> LayerOutputs:
    """Concatenate the candidates of all levels.

    Args:
        levels: Predictions and ``(B, 2)`` width and height of the images at
            each level.
        sizes: ``(B, 2)`` width and height of the images.
    """
    outputs = [_rescale(x, sizes / level_sizes) for x, level_sizes in levels]
    index = [
        torch.full_like(x.logits[..., 0], number, dtype=torch.int64)
        for number, x in enumerate(outputs)
    ]
    joined = _combine(outputs, lambda tensors: torch.cat(tensors, 1))
    return replace(joined, levels=torch.cat(index, 1))


def _combine(
    outputs: Sequence[LayerOutputs],
    function: Callable[[list[Tensor]], Tensor],
) -> LayerOutputs:
    """Apply a function to the tensors of one kind of all outputs."""
    scores = [
        x.keypoint_scores for x in outputs if x.keypoint_scores is not None
    ]
    smplx = [x.smplx for x in outputs if x.smplx is not None]
    first = outputs[0]
    return replace(
        first,
        logits=function([x.logits for x in outputs]),
        boxes={
            k: function([x.boxes[k] for x in outputs]) for k in first.boxes
        },
        points={
            k: function([x.points[k] for x in outputs]) for k in first.points
        },
        smplx=SMPLXParams.combine(smplx, function) if smplx else None,
        keypoint_scores=function(scores) if scores else None,
    )


def _rescale(outputs: LayerOutputs, ratio: Tensor) -> LayerOutputs:
    """Predictions for images that are larger by ``ratio`` ``(B, 2)``.

    Only the camera changes; other values are fractions of the image or meters.
    """
    if outputs.smplx is None:
        return outputs
    factors = torch.cat((ratio.mean(-1, keepdim=True), ratio), dim=-1)
    camera = outputs.smplx.camera * factors[:, None]
    return replace(outputs, smplx=replace(outputs.smplx, camera=camera))
