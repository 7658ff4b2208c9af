# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""One batch of images at several sizes.

Legend: ``B`` images, ``P`` candidates of a level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from torch import Tensor

from aios.models.heads.outputs import LayerOutputs, SMPLXParams
from aios.utils.tensors import tensor_like


def sizes_of(samples: Sequence[DetDataSample], like: Tensor) -> Tensor:
    """``(B, 2)`` float32 width and height of images without padding.

    Args:
        samples: Of the images, with ``img_shape``.
        like: On whose device the result is.
    """
    sizes = [sample.img_shape[1::-1] for sample in samples]
    return tensor_like(sizes, like, torch.float32)


def padding_mask(
    feature: Tensor, samples: Sequence[DetDataSample] | None
) -> Tensor | None:
    """1 on padding and 0 on images, ``(B, 1, H, W)``; ``None`` without.

    Args:
        feature: Whose dtype and device the mask has.
        samples: With ``batch_input_shape`` and ``img_shape``.
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
    """Smaller images, averaged so that nothing aliases.

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


def resize_batch(
    images: Tensor, samples: Sequence[DetDataSample], scale: float
) -> tuple[Tensor, Sequence[DetDataSample]]:
    """Smaller images with samples that know their sizes.

    Args:
        images: See :func:`resize_images`.
        samples: With ``img_shape``.
        scale: See there.

    Returns:
        Images, and for a scale below 1 new samples that have nothing but
        ``img_shape`` and ``batch_input_shape``.
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


def join_levels(
    levels: Sequence[tuple[LayerOutputs, Tensor]], sizes: Tensor
) -> LayerOutputs:
    """Candidates of all levels side by side, with cameras of whole images.

    Args:
        levels: Predictions and ``(B, 2)`` width and height of the images as
            the level saw them.
        sizes: ``(B, 2)`` width and height of the images.

    Returns:
        ``P`` of all levels, with ``levels``.
    """
    every = [_enlarge(outputs, sizes / seen) for outputs, seen in levels]
    cat: Callable[[Sequence[Tensor]], Tensor] = partial(torch.cat, dim=1)
    index = [
        torch.full_like(outputs.logits[..., 0], number, dtype=torch.int64)
        for number, outputs in enumerate(every)
    ]
    heats = [x.keypoint_scores for x in every if x.keypoint_scores is not None]
    smplx = [x.smplx for x in every if x.smplx is not None]
    first = every[0]
    return replace(
        first,
        logits=cat([x.logits for x in every]),
        boxes={k: cat([x.boxes[k] for x in every]) for k in first.boxes},
        points={k: cat([x.points[k] for x in every]) for k in first.points},
        smplx=SMPLXParams.cat(smplx) if smplx else None,
        keypoint_scores=cat(heats) if heats else None,
        levels=cat(index),
    )


def _enlarge(outputs: LayerOutputs, ratio: Tensor) -> LayerOutputs:
    """Predictions for images that are larger by ``ratio`` ``(B, 2)``.

    All but the camera are fractions of the image, or metres.
    """
    if outputs.smplx is None:
        return outputs
    factors = torch.cat((ratio.mean(-1, keepdim=True), ratio), dim=-1)
    camera = outputs.smplx.camera * factors[:, None]
    return replace(outputs, smplx=replace(outputs.smplx, camera=camera))
