# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Images of persons with consistent labels, cameras and predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.structures import InstanceData
from torch import Tensor

from aios.body_models import SMPLXLayer, SMPLXOutput
from aios.structures import GT_FIELDS, convert_joints, project_points

SIZE = (240, 320)
SCALE = (2.0, 1.5)  # of the image that the network saw
CAMERA = np.array([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])


def predictions(
    joints: Tensor,
    vertices: Tensor,
    transl: Tensor,
    camera: Tensor,
    **fields: Tensor,
) -> InstanceData:
    """Fields of persons who are found where they are.

    Args:
        joints: ``(n, 144, 3)`` without translation.
        vertices: ``(n, V, 3)`` without translation.
        transl: ``(n, 3)``.
        camera: ``(3, 3)``, or one for each.
        fields: Other fields.
    """
    pixels = project_points(joints + transl[:, None], camera)
    return InstanceData(
        scores=0.9 - 0.1 * torch.arange(len(joints)),
        labels=torch.ones(len(joints), dtype=torch.int64),
        bboxes=torch.cat((pixels.amin(1), pixels.amax(1)), dim=1),
        joints3d=joints,
        joints2d=pixels,
        vertices=vertices,
        smplx_transl=transl,
        **fields,
    )


def make_sample(
    body: SMPLXOutput,
    img_id: int = 0,
    path: str = '',
    labeled: Sequence[int] = range(137),
    **labels: Tensor,
) -> DetDataSample:
    """Persons side by side, found exactly where they are.

    They stand 1.2 m apart, 5 m in front of the camera.

    Args:
        body: Their bodies.
        img_id: Number of the image.
        path: Its path.
        labeled: Joints that have labels; others are at 0, and nowhere.
        labels: Fields of ``gt_instances``, of which the others are ones.
    """
    count = len(body.joints)
    transl = torch.zeros(count, 3)
    transl[:, 0] = 1.2 * (torch.arange(count) - (count - 1) / 2)
    transl[:, 2] = 5.0
    camera = torch.from_numpy(CAMERA).float()
    found = predictions(body.joints, body.vertices, transl, camera)
    found.set_metainfo(dict(cam_K=CAMERA))
    points, joints = (
        convert_joints(source, 'smplx_144', 'smplx_137')[0]
        for source in (found.joints2d, body.joints)
    )
    visible = torch.zeros(count, 137)
    visible[:, list(labeled)] = 1
    scale = torch.tensor(SCALE)
    known = dict(
        bboxes=found.bboxes * scale.repeat(2),
        keypoints=points * scale * visible[..., None],
        keypoints_visible=visible,
        keypoints3d=(joints - joints[:, :1]) * visible[..., None],
        keypoints3d_visible=visible,
        smplx_transl=transl,
        gender=torch.full((count,), -1),
        **labels,
    )
    resize = np.diag((*SCALE, 1.0))
    sample = DetDataSample(
        metainfo=dict(
            img_id=img_id,
            img_path=path or f'{img_id}.jpg',
            dataset_name='toy',
            ori_shape=SIZE,
            homography_matrix=resize,
            flip=False,
            cam_K=resize @ CAMERA,
        )
    )
    sample.gt_instances = InstanceData()
    for name, field in GT_FIELDS.items():
        default = torch.ones(count, *field.shape, dtype=field.dtype)
        sample.gt_instances[name] = known.get(name, default)
    sample.pred_instances = found
    return sample


class Persons:
    """Creates samples of random bodies.

    Args:
        model_path: Folder of the body model.
    """

    def __init__(self, model_path: str) -> None:
        self.layer = SMPLXLayer(model_path, gender='neutral')

    def __call__(self, count: int, img_id: int = 0) -> DetDataSample:
        """A sample with ground truth and perfect predictions."""
        generator = torch.Generator().manual_seed(img_id)

        def draw(*shape: int) -> Tensor:
            return torch.rand(count, *shape, generator=generator) - 0.5

        labels = dict(
            smplx_pose=draw(53, 3),
            smplx_betas=draw(10),
            smplx_expression=draw(10),
        )
        return make_sample(self.body(**labels), img_id, **labels)

    def body(
        self,
        smplx_pose: Tensor,
        smplx_betas: Tensor,
        smplx_expression: Tensor,
    ) -> SMPLXOutput:
        """Bodies of labels."""
        return self.layer(
            betas=smplx_betas,
            expression=smplx_expression,
            global_orient=smplx_pose[:, :1],
            body_pose=smplx_pose[:, 1:22],
            left_hand_pose=smplx_pose[:, 22:37],
            right_hand_pose=smplx_pose[:, 37:52],
            jaw_pose=smplx_pose[:, 52:],
        )


def numbers_of(
    metric: BaseMetric,
    samples: Sequence,
    batch_sizes: Sequence[int] | None = None,
) -> dict[str, float]:
    """Evaluate samples; all numbers are finite and come without prefix."""
    evaluator = Evaluator(metric)
    rest = list(samples)
    for size in batch_sizes or [len(rest)]:
        evaluator.process(rest[:size])
        rest = rest[size:]
    numbers = evaluator.evaluate(len(samples))
    assert np.isfinite(list(numbers.values())).all()
    prefix = f'{metric.prefix}/'
    assert all(name.startswith(prefix) for name in numbers)
    return {name.removeprefix(prefix): n for name, n in numbers.items()}
