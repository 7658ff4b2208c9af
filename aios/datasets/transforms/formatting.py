# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Filter persons and pack the inputs of the model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from aios.datasets.supervision import EXTRA_FIELDS
from aios.registry import TRANSFORMS
from aios.structures import (
    GT_FIELDS,
    PARTS,
    boxes_overlap_image,
    clip_boxes,
)

from .base import Transform
from .following import follow_image
from .label_geometry import BOX_FIELDS, points_inside, select_persons


@TRANSFORMS.register_module()
class FilterWholeBody(Transform):
    """Remove persons whose body box is outside the image; clip all boxes.

    Hands and faces outside the image become invalid.  It is for training
    pipelines; tests keep every annotated person.

    Args:
        min_visible_ratio: Minimum share of the area of the body box inside
            the image.  0 (as published) keeps every overlapping box.
        keep_empty: Whether to keep an image without remaining persons.  By
            default the dataset draws another image.
    """

    def __init__(
        self, min_visible_ratio: float = 0.0, keep_empty: bool = False
    ) -> None:
        self.min_visible_ratio = min_visible_ratio
        self.keep_empty = keep_empty

    def transform(self, results: dict) -> dict | None:
        """Filter the labels; None if no person is left."""
        follow_image(results)
        height, width = results['img_shape']
        boxes = results['gt_persons']['bboxes']
        inside = np.asarray(boxes_overlap_image(boxes, height, width))
        if self.min_visible_ratio > 0:
            visible = _area(clip_boxes(boxes, height, width))
            inside &= visible >= self.min_visible_ratio * _area(boxes)
        if len(boxes) and not inside.any() and not self.keep_empty:
            return None
        if not inside.all():
            select_persons(results, inside)
        persons = results['gt_persons']
        for part in PARTS:
            overlap = boxes_overlap_image(
                persons[f'{part}_bboxes'], height, width
            )
            persons[f'{part}_valid'] = persons[f'{part}_valid'] * overlap
        for name in BOX_FIELDS:
            persons[name] = clip_boxes(persons[name], height, width)
        if 'ignored_bboxes' in results:
            boxes = results['ignored_bboxes']
            boxes = boxes[boxes_overlap_image(boxes, height, width)]
            results['ignored_bboxes'] = clip_boxes(boxes, height, width)
        return results


@TRANSFORMS.register_module()
class PackWholeBodyInputs(Transform):
    """Pack the model's inputs: an image tensor and a ``DetDataSample``.

    Joints outside the image get zero weight and visibility, and boxes of
    invalid parts are set to the whole image as a placeholder.

    Args:
        meta_keys: Keys of the record to include as meta information, if
            present.
    """

    META_KEYS = (
        'img_id',
        'img_path',
        'sample_idx',
        'dataset_name',
        'ori_shape',
        'img_shape',
        'scale_factor',
        'crop_offset',
        'flip',
        'homography_matrix',
        'cam_K',
    )

    def __init__(self, meta_keys: Sequence[str] = META_KEYS) -> None:
        self.meta_keys = tuple(meta_keys)

    def transform(self, results: dict) -> dict[str, Any]:
        """Pack.

        Returns:
            ``inputs`` ``(3, h, w)`` tensor, BGR in 0..255, and
            ``data_samples`` with ``gt_instances`` as
            :data:`aios.structures.GT_FIELDS` lists them, and
            ``ignored_instances`` with ``bboxes`` ``(q, 4)`` of crowds.

        Raises:
            ValueError: If a transform of another project moved the image in
                a way that labels cannot follow.
        """
        follow_image(results)
        packed: dict[str, Any] = {}
        if 'img' in results:
            image = np.ascontiguousarray(results['img'].transpose(2, 0, 1))
            packed['inputs'] = torch.from_numpy(image)
        sample = DetDataSample()
        if 'gt_persons' in results:
            sample.gt_instances = self._instances(results)
        if 'ignored_bboxes' in results:
            boxes = np.asarray(results['ignored_bboxes'], np.float32)
            sample.ignored_instances = InstanceData(
                bboxes=torch.from_numpy(boxes)
            )
        sample.set_metainfo(
            {key: results[key] for key in self.meta_keys if key in results}
        )
        packed['data_samples'] = sample
        return packed

    def _instances(self, results: dict) -> InstanceData:
        persons = dict(results['gt_persons'])
        size = results['img_shape']
        inside = points_inside(persons['keypoints'], size)
        for name in ('keypoints_weight', 'keypoints_visible'):
            persons[name] = persons[name] * inside
        whole = np.array((0, 0, size[1], size[0]), np.float32)
        for part in PARTS:
            valid = persons[f'{part}_valid'][:, None] > 0
            boxes = np.where(valid, persons[f'{part}_bboxes'], whole)
            persons[f'{part}_bboxes'] = boxes
        instances = InstanceData()
        for name, field in GT_FIELDS.items():
            value = np.ascontiguousarray(persons[name])
            instances[name] = torch.from_numpy(value).to(field.dtype)
        for name in EXTRA_FIELDS:
            if name in persons:
                instances[name] = torch.from_numpy(persons[name])
        return instances


def _area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
