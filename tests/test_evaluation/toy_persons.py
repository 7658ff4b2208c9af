# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Images of persons with perfect predictions."""

from __future__ import annotations

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from aios.body_models import SMPLXLayer
from aios.structures import GT_FIELDS, convert_joints

SIZE = (240, 320)
SCALE = (2.0, 1.5)


class Persons:
    """Creates samples in the format of datasets and the network.

    Args:
        model_path: Folder of the body model.
    """

    def __init__(self, model_path: str) -> None:
        self.layer = SMPLXLayer(model_path, gender='neutral')

    def __call__(self, count: int, img_id: int = 0) -> DetDataSample:
        """A sample with ground truth and perfect predictions."""
        generator = torch.Generator().manual_seed(img_id)

        def draw(*shape: int) -> torch.Tensor:
            return torch.rand(count, *shape, generator=generator) - 0.5

        pose, betas, expression = draw(53, 3), draw(10), draw(10)
        body = self.layer(
            betas=betas,
            expression=expression,
            global_orient=pose[:, :1],
            body_pose=pose[:, 1:22],
            left_hand_pose=pose[:, 22:37],
            right_hand_pose=pose[:, 37:52],
            jaw_pose=pose[:, 52:],
        )
        joints, _ = convert_joints(body.joints, 'smplx_144', 'smplx_137')
        low = torch.arange(count)[:, None] * 40.0 + draw(2) * 5 + 5
        boxes = torch.cat((low, low + 30), dim=1)
        sample = DetDataSample(
            metainfo=dict(
                img_id=img_id,
                img_path=f'{img_id}.jpg',
                dataset_name='toy',
                ori_shape=SIZE,
                homography_matrix=np.diag((*SCALE, 1.0)),
                flip=False,
                cam_K=np.diag((*SCALE, 1.0)) @ np.diag((300.0, 300, 1)),
            )
        )
        sample.gt_instances = self._truth(
            bboxes=boxes * torch.tensor(SCALE * 2),
            keypoints3d=joints - joints[:, :1],
            smplx_pose=pose,
            smplx_betas=betas,
            smplx_expression=expression,
            gender=torch.full((count,), -1),
        )
        sample.pred_instances = InstanceData(
            scores=0.9 - 0.1 * torch.arange(count),
            labels=torch.ones(count, dtype=torch.int64),
            bboxes=boxes,
            joints3d=body.joints,
            joints2d=body.joints[..., :2] * 50 + low[:, None] + 15,
            vertices=body.vertices,
            smplx_transl=torch.tensor([[0, 0, 5.0]]).expand(count, 3),
            metainfo=dict(cam_K=np.diag((300.0, 300, 1))),
        )
        return sample

    @staticmethod
    def _truth(**known: torch.Tensor) -> InstanceData:
        count = len(known['bboxes'])
        truth = InstanceData()
        for name, field in GT_FIELDS.items():
            default = torch.ones(count, *field.shape, dtype=field.dtype)
            truth[name] = known.get(name, default)
        return truth
