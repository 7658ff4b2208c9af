# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Names and shapes of the ground-truth fields of ``gt_instances``.

``aios.datasets`` packs and ``aios.models`` reads these fields of
:class:`mmdet.structures.DetDataSample`.  The number of persons in an image,
``n``, may be zero.  Coordinates are pixels of the network input, before batch
padding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch

from .joints import SMPLX_137, SMPLX_ROTATIONS_53
from .sample import PARTS


@dataclass(frozen=True)
class GtField:
    """One field of ``gt_instances``.

    Args:
        shape: Shape after the person axis.
        dtype: Type of the tensor.
        meaning: Content and unit.
    """

    shape: tuple[int, ...]
    dtype: torch.dtype
    meaning: str


def _fields() -> dict[str, GtField]:
    joints, rotations = len(SMPLX_137), len(SMPLX_ROTATIONS_53)
    real, whole = torch.float32, torch.int64
    fields = {
        'labels': GtField((), whole, 'class, 1 = person'),
        'bboxes': GtField((4,), real, 'body box, xyxy px'),
    }
    for part in PARTS:
        fields[f'{part}_bboxes'] = GtField((4,), real, f'{part} box, xyxy px')
        fields[f'{part}_valid'] = GtField(
            (), real, f'{part} box is valid, 0/1'
        )
    fields |= {
        'keypoints': GtField((joints, 2), real, '2-D joints, px'),
        'keypoints_weight': GtField(
            (joints,), real, 'weight of the reprojection loss'
        ),
        'keypoints_visible': GtField(
            (joints,), real, 'visibility as a detection target'
        ),
        'keypoints3d': GtField(
            (joints, 3), real, 'pelvis-relative, m; zeros if absent'
        ),
        'keypoints3d_visible': GtField((joints,), real, 'weight'),
        'smplx_pose': GtField((rotations, 3), real, 'axis-angle, rad'),
        'smplx_pose_valid': GtField((rotations,), real, '0/1'),
        'smplx_betas': GtField((10,), real, 'shape coefficients'),
        'smplx_betas_valid': GtField((), real, '0/1'),
        'smplx_expression': GtField((10,), real, 'expression coefficients'),
        'smplx_expression_valid': GtField((), real, '0/1'),
        'smplx_transl': GtField((3,), real, 'm; for images, not trained'),
        'has_3d': GtField((), real, '3-D joints supervise, 0/1'),
        'gender': GtField((), whole, '-1 neutral, 0 male, 1 female'),
    }
    return fields


GT_FIELDS: Mapping[str, GtField] = MappingProxyType(_fields())
