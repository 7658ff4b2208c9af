# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Test-time image pyramid of a batch.

Legend: ``B`` images, ``P`` candidates of a level.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from mmdet.structures import DetDataSample
from torch import Tensor

from aios.models.heads.outputs import LayerOutputs, SMPLXParams
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


def resize_batch(
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


def join_levels(
    levels: Sequence[tuple[LayerOutputs, Tensor]], sizes: Tensor
) -> LayerOutputs:
    """Concatenate the candidates of all levels.

    Args:
        levels: Predictions and ``(B, 2)`` width and height of the images at
            each level.
        sizes: ``(B, 2)`` width and height of the images.

    Returns:
        ``P`` of all levels, with ``levels``.
    """
    outputs = [_rescale(x, sizes / level_sizes) for x, level_sizes in levels]
    index = [
        torch.full_like(x.logits[..., 0], number, dtype=torch.int64)
        for number, x in enumerate(outputs)
    ]
    scores = [
        x.keypoint_scores for x in outputs if x.keypoint_scores is not None
    ]
    smplx = [x.smplx for x in outputs if x.smplx is not None]
    first = outputs[0]
    return replace(
        first,
        logits=torch.cat([x.logits for x in outputs], 1),
        boxes={
            k: torch.cat([x.boxes[k] for x in outputs], 1) for k in first.boxes
        },
        points={
            k: torch.cat([x.points[k] for x in outputs], 1)
            for k in first.points
        },
        smplx=SMPLXParams.cat(smplx) if smplx else None,
        keypoint_scores=torch.cat(scores, 1) if scores else None,
        levels=torch.cat(index, 1),
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
