# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Ignored regions (crowds), which are neither persons nor background.

Legend: ``B`` images, ``Q`` candidates of an image.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor

from aios.structures import cxcywh_to_xyxy
from aios.utils.tensors import tensor_like


def ignored_regions(
    samples: Sequence[DetDataSample], like: Tensor
) -> list[Tensor] | None:
    """Boxes of the ``ignored_instances`` of a batch.

    Args:
        samples: Samples, with or without ``ignored_instances``.
        like: Tensor with the device and dtype of the result.

    Returns:
        ``(q, 4)`` xyxy of each image, fractions of its width and height;
        None if the batch has no regions.

    Raises:
        ValueError: If a sample was packed for another detector.
    """
    regions = []
    for sample in samples:
        boxes = like.new_zeros((0, 4))
        if 'ignored_instances' in sample:
            if 'bboxes' not in sample.ignored_instances:
                raise ValueError(
                    f'{sample.get("img_path", "a sample")}: ignored_instances '
                    'lack bboxes; the pipeline must end with '
                    'PackWholeBodyInputs'
                )
            height, width = sample.img_shape[:2]
            size = tensor_like((width, height, width, height), like)
            boxes = sample.ignored_instances.bboxes.to(like) / size
        regions.append(boxes)
    return regions if any(map(len, regions)) else None


def mostly_inside(
    boxes: Tensor, regions: Sequence[Tensor], threshold: float
) -> Tensor:
    """Whether candidates lie in a region.

    Args:
        boxes: ``(B, Q, 4)`` cxcywh, fractions.
        regions: ``B`` tensors ``(q, 4)``, see :func:`ignored_regions`.
        threshold: Minimum fraction of the candidate's area in one region.

    Returns:
        ``(B, Q)`` bool.
    """
    overlaps = [
        bbox_overlaps(candidates, region, mode='iof', eps=1e-12)
        for candidates, region in zip(
            cxcywh_to_xyxy(boxes.detach()), regions, strict=True
        )
    ]
    return torch.stack([(x > threshold).any(dim=1) for x in overlaps])
