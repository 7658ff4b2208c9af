# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""A tiny dataset and model, for tests of the tools.

The loss depends on the weights, the augmentation and random numbers of the
network, so it is reproduced only if all of them are.
"""

from __future__ import annotations

import random
from typing import Any

import cv2
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.dataset import BaseDataset
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from torch import nn

from aios.registry import DATASETS, MODELS
from aios.structures import GT_FIELDS

BOX = (4.0, 4.0, 12.0, 12.0)


@DATASETS.register_module()
class ToyDataset(BaseDataset):
    """Images of 16 x 16 with one person; augmentation adds a number."""

    def load_data_list(self) -> list[dict[str, Any]]:
        """Make the images."""
        path = f'{self.data_root}/image.png'
        cv2.imwrite(path, np.full((16, 16, 3), 99, np.uint8))
        return [{'img_path': path, 'img_id': i} for i in range(6)]

    def __getitem__(self, index: int) -> dict[str, Any]:
        info = self.get_data_info(index)
        sample = DetDataSample(metainfo=dict(info, ori_shape=(16, 16)))
        sample.gt_instances = InstanceData()
        for name, field in GT_FIELDS.items():
            value = torch.ones(1, *field.shape, dtype=field.dtype)
            sample.gt_instances[name] = value
        sample.gt_instances.bboxes = torch.tensor([BOX])
        shift = 0.0 if self.test_mode else random.random()
        inputs = torch.full((3, 16, 16), index + shift)
        return {'inputs': inputs, 'data_samples': sample}


@MODELS.register_module()
class ToyModel(BaseModel):
    """One weight and a loss with noise; optionally an unused layer."""

    def __init__(
        self, data_preprocessor: Any = None, with_unused: bool = False
    ) -> None:
        super().__init__(data_preprocessor)
        self.unused = nn.Linear(1, 1) if with_unused else None
        self.backbone = nn.Linear(1, 1)
        self.head = nn.Linear(1, 1)

    def forward(
        self, inputs: Any, data_samples: Any = None, mode: str = 'tensor'
    ) -> Any:
        """Implement MMEngine's interface."""
        x = torch.stack([x.float().mean() for x in inputs])[:, None]
        out = self.head(self.backbone(x))
        if mode == 'loss':
            return {'loss': (out - torch.rand_like(out)).square().mean()}
        for sample in data_samples:
            sample.pred_instances = InstanceData(
                scores=torch.tensor([0.9]),
                labels=torch.tensor([1]),
                bboxes=torch.tensor([BOX]),
                joints3d=torch.zeros(1, 144, 3) + out[0].detach(),
                joints2d=torch.full((1, 144, 2), 8.0),
            )
        return data_samples
