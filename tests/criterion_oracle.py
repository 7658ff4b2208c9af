# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Comparison with the original losses: names, ground truth, predictions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData
from torch import Tensor

from aios.models.heads import LayerOutputs, SMPLXParams
from aios.models.losses import WholeBodyCriterion
from aios.registry import MODELS
from aios.structures import (
    PARTS,
    TOKEN_LAYOUTS,
    cxcywh_to_xyxy,
)

CONFIGS = Path(__file__).parents[1] / 'configs/_base_/models'

_OFFICIAL_TERMS = {
    'loss_cls': 'loss_ce',
    'loss_body_keypoints': 'loss_keypoints',
    'loss_body_oks': 'loss_oks',
    'loss_smplx_betas': 'loss_smpl_beta',
    'loss_smplx_expression': 'loss_smpl_expr',
    'dn_loss_cls': 'dn_loss_ce',
}


def official_name(name: str) -> str:
    """Name of one of our losses in the original.

    Args:
        name: E.g. ``d4.loss_smplx_pose_body``.
    """
    layer, encoder, term = re.fullmatch(
        r'(?:d(\d+)\.)?(enc_)?(.*)', name
    ).groups()
    term = _OFFICIAL_TERMS.get(term, term).replace('_smplx_', '_smpl_')
    if encoder:
        return f'{term}_interm'
    return term if layer is None else f'{term}_{layer}'


def oracle_sample(
    oracle: Mapping[str, np.ndarray],
    image: int,
    size: tuple[int, int],
    dtype: torch.dtype = torch.float32,
    prefix: str = '',
) -> DetDataSample:
    """Ground truth of an image, in the format of our datasets.

    Args:
        oracle: Arrays ``batch/...`` and ``targets/...``.
        image: Index of the image.
        size: ``(height, width)``.
        dtype: Floating-point type.
        prefix: Prefix of the names.
    """

    def real(name: str) -> Tensor:
        array = oracle[f'{prefix}{name}']
        return torch.from_numpy(array.astype(np.float64)).to(dtype)

    def batch(name: str) -> Tensor:
        return real(f'batch/{name}/{image}')

    height, width = size
    extent = torch.tensor([width, height] * 2, dtype=dtype)
    labels = oracle[f'{prefix}targets/{image}/labels']
    count = len(labels)
    # The original's coordinates are in units of a 12 x 16 grid.
    points = batch('joint_img')
    unit = torch.tensor([12, 16], dtype=dtype)
    joints3d = batch('joint_cam')
    persons = InstanceData(
        labels=torch.from_numpy(labels),
        keypoints=points[..., :2] / unit * extent[:2],
        keypoints_weight=points[..., 2],
        keypoints_visible=batch('joint_trunc')[..., 0],
        keypoints3d=joints3d[..., :3],
        keypoints3d_visible=joints3d[..., 3],
        has_3d=batch('is_3D').expand(count),
        smplx_pose=batch('smplx_pose').unflatten(1, (53, 3)),
        smplx_pose_valid=batch('smplx_pose_valid'),
        smplx_betas=batch('smplx_shape'),
        smplx_betas_valid=batch('smplx_shape_valid'),
        smplx_expression=batch('smplx_expr'),
        smplx_expression_valid=batch('smplx_expr_valid'),
    )
    for part in ('', *(f'{part}_' for part in PARTS)):
        boxes = real(f'targets/{image}/{part}boxes').reshape(-1, 4)
        persons[f'{part}bboxes'] = cxcywh_to_xyxy(boxes) * extent
        if part:
            persons[f'{part}valid'] = batch(f'{part}bbox_valid')
    sample = DetDataSample(metainfo=dict(img_shape=size))
    sample.gt_instances = persons
    return sample


def original_axis_angle_to_matrix(axis_angle: Tensor) -> Tensor:
    """Target rotations as computed by the original code.

    That is in single precision whatever the type of the network, and with
    1e-8 added to each component before the angle is taken.  Together this
    changes losses by up to 1e-7.
    """
    single = axis_angle.float()
    angle = (single + 1e-8).norm(dim=-1, keepdim=True)
    imaginary = (angle / 2).sin() * (single / angle)
    quaternion = torch.cat(((angle / 2).cos(), imaginary), dim=-1)
    quaternion = quaternion / quaternion.norm(dim=-1, keepdim=True)
    w, x, y, z = quaternion.unbind(-1)
    rows = [
        (w * w + x * x - y * y - z * z, 2 * x * y - 2 * w * z),
        (2 * w * y + 2 * x * z, 2 * w * z + 2 * x * y),
        (w * w - x * x + y * y - z * z, 2 * y * z - 2 * w * x),
        (2 * x * z - 2 * w * y, 2 * w * x + 2 * y * z),
        (w * w - x * x - y * y + z * z,),
    ]
    elements = torch.stack([value for row in rows for value in row], dim=-1)
    return elements.unflatten(-1, (3, 3)).to(axis_angle)


def oracle_layer(
    arrays: Mapping[str, Tensor], layout: str = 'whole_body'
) -> LayerOutputs:
    """Outputs of a layer from tensors by the original's names."""

    def points(name: str, count: int) -> Tensor:
        xy = arrays[f'pred_{name}keypoints'][..., : 2 * count]
        return xy.unflatten(-1, (count, 2))

    return LayerOutputs(
        layout=TOKEN_LAYOUTS[layout],
        logits=arrays['pred_logits'],
        boxes={
            'body_box': arrays['pred_boxes'],
            'left_hand_box': arrays['pred_lhand_boxes'],
            'right_hand_box': arrays['pred_rhand_boxes'],
            'face_box': arrays['pred_face_boxes'],
        },
        points={
            'body_keypoints': points('', 17),
            'left_hand_keypoints': points('lhand_', 6),
            'right_hand_keypoints': points('rhand_', 6),
            'face_keypoints': points('face_', 6),
        },
        smplx=SMPLXParams(
            body_pose=arrays['pred_smpl_pose'],
            left_hand_pose=arrays['pred_smpl_lhand_pose'],
            right_hand_pose=arrays['pred_smpl_rhand_pose'],
            jaw_pose=arrays['pred_smpl_jaw_pose'],
            betas=arrays['pred_smpl_beta'],
            expression=arrays['pred_smpl_expr'],
            camera=arrays['pred_smpl_cam'],
        ),
        dn_logits=arrays['dn_class_pred'],
        dn_boxes=arrays['dn_bbox_pred'],
    )


def published_criterion() -> WholeBodyCriterion:
    """The criterion of the published recipe."""
    config = Config.fromfile(CONFIGS / 'aios_r50_published.py')
    return MODELS.build(config.model.bbox_head.criterion)
