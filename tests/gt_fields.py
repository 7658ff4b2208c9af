# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The fields of ``gt_instances``, and samples with these fields."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from aios.structures import GT_FIELDS


def check_gt_instances(instances: InstanceData) -> None:
    """Assert that all fields exist, with their shapes, dtypes and finite."""
    for name, field in GT_FIELDS.items():
        # HorizontalBoxes and the like keep their tensor inside.
        value = getattr(instances[name], 'tensor', instances[name])
        assert value.shape == (len(instances), *field.shape), name
        assert value.dtype == field.dtype, name
        assert value.isfinite().all(), name


def ground_truth(
    count: int, size: tuple[int, int], valid: bool = True
) -> InstanceData:
    """Random count in an image of ``(height, width)`` pixels.

    Everything is annotated, or only boxes.
    """
    persons = InstanceData()
    extent = torch.tensor(size[::-1])
    for name, field in GT_FIELDS.items():
        value = torch.rand(count, *field.shape)
        if name == 'labels':
            value = torch.ones(count)
        elif name.endswith('bboxes'):
            corners = torch.rand(count, 2, 2).sort(dim=1).values
            value = (corners * extent).flatten(1)
        elif name == 'keypoints':
            value = value * extent
        elif name.endswith(('valid', 'visible', 'weight', 'has_3d')):
            value = torch.full_like(value, float(valid))
        persons[name] = value.to(field.dtype)
    check_gt_instances(persons)
    return persons


def image_sample(
    shape: tuple[int, int], persons: InstanceData | None = None, **meta: Any
) -> DetDataSample:
    """A sample of an image of ``shape``, not resized or padded."""
    shapes = ('img_shape', 'ori_shape', 'batch_input_shape')
    usual = dict.fromkeys(shapes, shape) | dict(scale_factor=(1.0, 1.0))
    sample = DetDataSample(metainfo=usual | meta)
    if persons is not None:
        sample.gt_instances = persons
    return sample
