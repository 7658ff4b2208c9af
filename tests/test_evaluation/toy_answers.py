# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""A model that returns the labels, for tests of configs and tools."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine.model import BaseModel
from mmengine.structures import InstanceData
from toy_persons import predictions

from aios.body_models import SMPLXLayer
from aios.evaluation.samples import GroundTruthBodies, ground_truth_of
from aios.registry import MODELS
from aios.structures import GENDER_NAMES


@MODELS.register_module()
class ToyAnswers(BaseModel):
    """Predicts exactly the labeled persons, as SMPL-X bodies."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: dict[str, SMPLXLayer] = {}
        folder = dict(type='SMPLXLayer', model_path=None)
        self.bodies = GroundTruthBodies(folder)

    def forward(
        self, inputs: Any, data_samples: Any = None, mode: str = 'tensor'
    ) -> Any:
        """Implement MMEngine's interface."""
        for sample in data_samples:
            true = ground_truth_of(sample.to_dict())
            sample.pred_instances = self._answer(true)
        return data_samples

    def _answer(self, true: dict[str, np.ndarray]) -> InstanceData:
        vertices, joints = self._pose(true)
        camera = torch.from_numpy(true['cam_K']).float()
        transl = torch.from_numpy(true['smplx_transl'])
        return predictions(joints, vertices, transl, camera)

    def _pose(self, true: dict[str, np.ndarray]) -> tuple:
        if 'smpl_pose' not in true:
            bodies = self.bodies(true, np.arange(len(true['gender'])))
            return tuple(torch.from_numpy(points) for points in bodies)
        outs = []
        for row, code in enumerate(true['gender'].tolist()):
            pose = torch.from_numpy(true['smpl_pose'][[row]])
            betas = torch.from_numpy(true['smpl_betas'][[row]])
            gender = GENDER_NAMES[code]
            if gender not in self.layers:
                layer = SMPLXLayer(None, gender, flat_hand_mean=True)
                self.layers[gender] = layer
            layer = self.layers[gender]
            outs.append(layer(betas, None, pose[:, :3], pose[:, 3:66]))
        return (
            torch.cat([out.vertices for out in outs]),
            torch.cat([out.joints for out in outs]),
        )
