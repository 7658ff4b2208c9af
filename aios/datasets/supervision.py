# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Supervision masks of joints and rotations from the flags of persons.

A person can have a box but no body fit, a body but no hands, hands but no
face.

Symbols: ``n`` persons; 137 joints, 53 rotations.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from aios.structures import PARTS, SMPLX_137, SMPLX_ROTATIONS_53

from .human_data import HumanData

EXTRA_FIELDS = (
    *('vertices', 'cameras'),
    *('smpl_pose', 'smpl_betas', 'extrinsics'),
)
"""Labels that only some datasets have: registered meshes (EHF), a camera of
each person (UBody), SMPL parameters and camera poses (3DPW, EMDB)."""

_JAW = SMPLX_ROTATIONS_53.index('jaw')
_GROUPS = {'lhand': 'left_hand', 'rhand': 'right_hand', 'face': 'face'}
_PART_LABELS = {
    'lhand': 'left_hand_pose',
    'rhand': 'right_hand_pose',
    'face': 'expression',
}


def supervision_masks(
    flags: Mapping[str, np.ndarray], body_model: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Rotations and joints that the body fit supervises.

    Args:
        flags: ``smplx_valid``, ``lhand_valid``, ``rhand_valid``,
            ``face_valid``, each ``(n,)`` bool.
        body_model: Model of the annotation, ``'smplx'``, ``'smplh'``,
            ``'smpl'`` or None.

    Returns:
        ``(n, 53)`` and ``(n, 137)`` bool.
    """
    body = flags['smplx_valid'] & (body_model is not None)
    count = len(body)
    rotations = np.repeat(body[:, None], len(SMPLX_ROTATIONS_53), axis=1)
    joints = np.repeat(body[:, None], len(SMPLX_137), axis=1)
    for part, group in _GROUPS.items():
        valid = (body & flags[f'{part}_valid'])[:, None]
        if body_model == 'smpl' or (body_model == 'smplh' and part == 'face'):
            valid = np.zeros((count, 1), bool)
        rotations[:, SMPLX_ROTATIONS_53.groups[group]] = valid
        joints[:, SMPLX_137.groups[group]] = valid
    return rotations, joints


def clear_unlabeled(
    columns: Mapping[str, np.ndarray], body_model: str | None
) -> None:
    """Set parameters without a label, which may be NaN, to zero, in place.

    Args:
        columns: Columns of :func:`aios.datasets.label_blocks.label_blocks`.
        body_model: Model of the annotation.
    """
    rotations, _ = supervision_masks(columns, body_model)
    columns['smplx_pose'][~rotations] = 0
    has_expression = columns['expression_valid'] & rotations[:, _JAW]
    columns['smplx_expression'][~has_expression] = 0
    for name in ('smplx_betas', 'smplx_transl'):
        columns[name][~columns['smplx_valid']] = 0


def person_labels(
    columns: Mapping[str, np.ndarray],
    body_model: str | None,
    parts_mask_keypoints: bool,
) -> dict[str, np.ndarray]:
    """Labels of the persons of one image, in the format of the transforms.

    Args:
        columns: Rows of the columns of
            :func:`aios.datasets.label_blocks.label_blocks`.
        body_model: Model of the annotation.
        parts_mask_keypoints: Whether joints of parts without a fit are
            excluded (data whose keypoints come from 2-D annotation).

    Returns:
        The fields of :data:`aios.structures.GT_FIELDS` as arrays, and the
        available :data:`EXTRA_FIELDS`, in pixels of the original image.
        ``keypoints_weight`` and ``keypoints_visible`` also include keypoints
        outside the image.
    """
    rotations, joints = supervision_masks(columns, body_model)
    keypoints = columns['keypoints']
    points, confidence = keypoints[..., :2], keypoints[..., 2]
    weight = joints if parts_mask_keypoints else np.ones_like(joints)
    count = len(points)
    points3d = columns.get('keypoints3d')
    has_3d = points3d is not None
    if points3d is None:
        points3d = np.zeros((count, len(SMPLX_137), 4), np.float32)
    betas_valid = columns['smplx_valid'] & columns['betas_valid']
    expression_valid = columns['expression_valid'] & rotations[:, _JAW]
    labels = {
        'labels': np.ones(count, np.int64),
        'bboxes': columns['bboxes'],
        'keypoints': points,
        'keypoints_weight': confidence * weight,
        'keypoints_visible': confidence,
        'keypoints3d': points3d[..., :3],
        'keypoints3d_visible': points3d[..., 3] * weight,
        'smplx_pose': columns['smplx_pose'] * rotations[..., None],
        'smplx_pose_valid': rotations,
        'smplx_betas': columns['smplx_betas'] * betas_valid[:, None],
        'smplx_betas_valid': betas_valid,
        'smplx_expression': columns['smplx_expression']
        * expression_valid[:, None],
        'smplx_expression_valid': expression_valid,
        'smplx_transl': columns['smplx_transl'],
        'has_3d': np.full(count, has_3d),
        'gender': columns['gender'].astype(np.int64),
    }
    for name in EXTRA_FIELDS:
        if name in columns:
            labels[name] = columns[name]
    for part in PARTS:
        labels[f'{part}_bboxes'] = columns[f'{part}_bboxes']
        labels[f'{part}_valid'] = (
            columns[f'{part}_box_valid']
            & columns[f'{part}_valid']
            & columns['smplx_valid']
        )
    return {
        name: value if value.dtype == np.int64 else value.astype(np.float32)
        for name, value in labels.items()
    }


def unboxed_parts(data: HumanData) -> dict[str, int]:
    """Parts with parameters but without a single box.

    Hands and faces only supervise if they have a box, so these never do.

    Args:
        data: A file without structural faults.

    Returns:
        Number of persons with non-zero parameters of each such part.
    """
    params = data.get('smplx', {})
    found = {}
    for part in PARTS:
        boxes = data.get(f'{part}_bbox_xywh')
        if boxes is not None and (np.asarray(boxes)[:, 4] > 0).any():
            continue
        values = np.asarray(params.get(_PART_LABELS[part], np.zeros((0, 1))))
        count = int(values.any(axis=tuple(range(1, values.ndim))).sum())
        if count:
            found[part] = count
    return found
