# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Ground truth of a batch, in the units of the network.

Legend: ``N`` persons of all images, ``K`` keypoints of a part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from mmdet.structures import DetDataSample
from torch import Tensor

from aios.structures import (
    GT_FIELDS,
    axis_angle_to_matrix,
    joint_mapping,
    xyxy_to_cxcywh,
)
from aios.utils.tensors import tensor_like

from .parts import LIMBS, PARTS


@dataclass(frozen=True)
class PersonTargets:
    """Targets of the persons of a batch, image after image.

    Image coordinates are fractions of width and height, without the padding
    of the batch.  Mappings have the names of parts (``body``, ``lhand``,
    ``rhand``, ``face``) as keys.

    Args:
        counts: Number of persons of each image; their sum is ``N``.
        labels: ``(N,)`` int64.
        boxes: Parts to ``(N, 4)`` cxcywh.
        box_valid: Parts to ``(N,)`` 0/1; bodies are always valid.
        points: Parts to ``(N, K, 2)``.
        points_visible: Parts to ``(N, K)``, weights in [0, 1].
        image_size: ``(N, 2)`` width and height in pixels.
        joints2d: ``(N, 137, 2)``.
        joints2d_weight: ``(N, 137)``.
        joints3d: ``(N, 137, 3)`` meters, relative to the pelvis.
        joints3d_weight: ``(N, 137)``, zero without 3-D supervision.
        rotations: ``(N, 53, 3, 3)``.
        rotations_valid: ``(N, 53)`` 0/1.
        betas: ``(N, 10)``.
        betas_valid: ``(N,)`` 0/1.
        expression: ``(N, 10)``.
        expression_valid: ``(N,)`` 0/1.
    """

    counts: tuple[int, ...]
    labels: Tensor
    boxes: Mapping[str, Tensor]
    box_valid: Mapping[str, Tensor]
    points: Mapping[str, Tensor]
    points_visible: Mapping[str, Tensor]
    image_size: Tensor
    joints2d: Tensor
    joints2d_weight: Tensor
    joints3d: Tensor
    joints3d_weight: Tensor
    rotations: Tensor
    rotations_valid: Tensor
    betas: Tensor
    betas_valid: Tensor
    expression: Tensor
    expression_valid: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def from_samples(
        cls,
        samples: Sequence[DetDataSample],
        device: torch.device,
        dtype: torch.dtype = torch.float32,
    ) -> PersonTargets:
        """Collect the ``gt_instances`` of a batch.

        Args:
            samples: Samples with ``img_shape`` and the fields of
                :data:`aios.structures.GT_FIELDS`.  Images without persons
                need no fields.
            device: Device of the result.
            dtype: Floating-point type of the result.

        Raises:
            ValueError: If a sample lacks a field, or all of them.
        """
        for sample in samples:
            if 'gt_instances' not in sample:
                raise ValueError(
                    f'{_place(sample)}: no labels (gt_instances); training '
                    'needs an annotated dataset and LoadHumanAnnotations in '
                    'its pipeline'
                )
        counts = tuple(len(sample.gt_instances) for sample in samples)
        sizes = torch.tensor(
            [
                sample.img_shape[1::-1]
                for sample, count in zip(samples, counts, strict=True)
                for _ in range(count)
            ],
            dtype=dtype,
        ).reshape(-1, 2)
        sizes = sizes.to(device, non_blocking=True)

        def read(name: str) -> Tensor:
            value = _field(samples, name).to(device)
            return value.to(dtype) if value.is_floating_point() else value

        return cls(
            counts=counts,
            labels=read('labels'),
            **_detection_targets(read, sizes),
            **_body_targets(read),
        )

    def select(self, index: Tensor) -> PersonTargets:
        """Some persons, as of a single image.

        Args:
            index: ``(M,)`` int64.
        """
        selected: dict[str, Any] = {}
        for name in _TENSOR_FIELDS:
            value = getattr(self, name)
            if isinstance(value, Mapping):
                selected[name] = {
                    k: v.index_select(0, index) for k, v in value.items()
                }
            else:
                selected[name] = value.index_select(0, index)
        return PersonTargets((len(index),), **selected)


_TENSOR_FIELDS = tuple(
    f.name for f in fields(PersonTargets) if f.name != 'counts'
)


def _place(sample: DetDataSample) -> str:
    return str(sample.metainfo.get('img_path', 'a sample'))


def _field(samples: Sequence[DetDataSample], name: str) -> Tensor:
    """A field of all persons, ``(N, ...)``."""
    values = []
    for sample in samples:
        if not len(sample.gt_instances):
            continue
        if name not in sample.gt_instances:
            raise ValueError(f'{_place(sample)}: gt_instances lack {name!r}')
        value = sample.gt_instances[name]
        # HorizontalBoxes and other structures wrap a tensor.
        values.append(getattr(value, 'tensor', value))
    if values:
        return torch.cat(values)
    field = GT_FIELDS[name]
    return torch.zeros((0, *field.shape), dtype=field.dtype)


def _detection_targets(
    read: Callable[[str], Tensor], sizes: Tensor
) -> dict[str, Any]:
    """Fields with image coordinates; ``sizes`` is ``(N, 2)``."""
    extent = sizes.repeat(1, 2)
    boxes = {'body': xyxy_to_cxcywh(read('bboxes')) / extent}
    valid = {'body': torch.ones_like(extent[:, 0])}
    for part in LIMBS:
        limb_boxes = xyxy_to_cxcywh(read(f'{part.name}_bboxes'))
        boxes[part.name] = limb_boxes / extent
        valid[part.name] = read(f'{part.name}_valid')
    joints2d = read('keypoints') / sizes[:, None]
    visible = read('keypoints_visible')
    points, points_visible = {}, {}
    for part in PARTS:
        mapping = joint_mapping('smplx_137', part.points.name, True)
        index = tensor_like(mapping, sizes, torch.int64)
        points[part.name] = joints2d.index_select(1, index)
        points_visible[part.name] = visible.index_select(1, index)
    return dict(
        boxes=boxes,
        box_valid=valid,
        points=points,
        points_visible=points_visible,
        image_size=sizes,
        joints2d=joints2d,
        joints2d_weight=read('keypoints_weight'),
    )


def _body_targets(read: Callable[[str], Tensor]) -> dict[str, Any]:
    weight = read('keypoints3d_visible') * read('has_3d')[:, None]
    return dict(
        joints3d=read('keypoints3d'),
        joints3d_weight=weight,
        rotations=axis_angle_to_matrix(read('smplx_pose')),
        rotations_valid=read('smplx_pose_valid'),
        betas=read('smplx_betas'),
        betas_valid=read('smplx_betas_valid'),
        expression=read('smplx_expression'),
        expression_valid=read('smplx_expression_valid'),
    )
