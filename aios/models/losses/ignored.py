# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Regions that are neither persons nor background: crowds.

``B`` images, ``Q`` candidates of each.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.structures import DetDataSample
from torch import Tensor

from aios.structures import cxcywh_to_xyxy
from aios.utils.tensors import tensor_like


def ignored_regions(
    samples: Sequence[DetDataSample], like: Tensor
) -> list[Tensor] | None:
    """Boxes of the ``ignored_instances`` of a batch.

    Args:
        samples: Samples, with or without ``ignored_instances``.
        like: Gives device and type.

    Returns:
        ``(q, 4)`` xyxy of each image, fractions of its width and height;
        None if there is none in the batch.
    """
    regions = []
    for sample in samples:
        boxes = like.new_zeros((0, 4))
        if 'ignored_instances' in sample:
            height, width = sample.img_shape[:2]
            size = tensor_like((width, height, width, height), like)
            boxes = sample.ignored_instances.bboxes.to(like) / size
        regions.append(boxes)
    return regions if any(map(len, regions)) else None


def mostly_inside(
    boxes: Tensor, regions: Sequence[Tensor], threshold: float
) -> Tensor:
    """Which candidates lie in a region.

    Args:
        boxes: ``(B, Q, 4)`` cxcywh, fractions.
        regions: ``B`` tensors ``(q, 4)``, see :func:`ignored_regions`.
        threshold: Part of a candidate's area that has to be inside one.

    Returns:
        ``(B, Q)`` bool.
    """
    inside = torch.zeros(
        boxes.shape[:2], dtype=torch.bool, device=boxes.device
    )
    corners = cxcywh_to_xyxy(boxes.detach())
    for image, region in enumerate(regions):
        if not len(region):
            continue
        mine = corners[image, :, None]
        low = torch.maximum(mine[..., :2], region[:, :2])
        high = torch.minimum(mine[..., 2:], region[:, 2:])
        shared = (high - low).clamp(min=0).prod(-1)
        area = (mine[..., 2:] - mine[..., :2]).prod(-1).clamp(min=1e-12)
        inside[image] = (shared / area > threshold).any(dim=1)
    return inside
