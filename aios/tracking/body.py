# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Poses as rotations, and bodies from changed parameters.

Symbols: ``n`` persons, ``J`` = 55 rotations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import nn

from aios.body_models.base import POSE_JOINTS
from aios.export import SMPLX_ARGUMENTS, FrameResult
from aios.registry import MODELS

__all__ = ['Body']

_NEAREST = 1e-3  # metres; what is nearer is projected from there


class Body:
    """The body model that results were made with.

    Args:
        model: SMPL-X layer or its config; ``None`` if unknown.

    Raises:
        ValueError: If its hand poses are not relative to the mean hand.
    """

    def __init__(self, model: dict | nn.Module | None) -> None:
        self._model = _built(model)
        self._offsets = {
            name: np.zeros(3 * count) for name, count in POSE_JOINTS.items()
        }
        if self._model is None:
            return
        if self._model.flat_hand_mean:
            raise ValueError(
                'hand poses of results are relative to the mean hand: the '
                'body model must have flat_hand_mean=False'
            )
        # The model adds vectors, so rotations exist only after the addition.
        mean = self._model.hand_mean.detach().cpu().numpy().astype(np.float64)
        self._offsets['left_hand_pose'] = mean[0].ravel()
        self._offsets['right_hand_pose'] = mean[1].ravel()

    def rotations(self, person: Mapping[str, np.ndarray]) -> Rotation:
        """``J`` rotations of a person, hands included.

        Args:
            person: With the pose arguments of SMPL-X, axis-angle.
        """
        vectors = [
            (person[name] + offset).reshape(-1, 3)
            for name, offset in self._offsets.items()
        ]
        return Rotation.from_rotvec(np.concatenate(vectors))

    def poses(self, rotations: Rotation) -> dict[str, np.ndarray]:
        """The inverse of :meth:`rotations`, with angles up to pi."""
        vectors = rotations.as_rotvec()
        ends = np.cumsum(list(POSE_JOINTS.values()))[:-1]
        parts = dict(zip(POSE_JOINTS, np.split(vectors, ends), strict=True))
        return {
            name: parts[name].ravel() - offset
            for name, offset in self._offsets.items()
        }

    def refreshed(self, frame: FrameResult) -> FrameResult:
        """The frame with joints, and meshes if any, of its parameters."""
        if self._model is None or not len(frame):
            return frame
        like = torch.as_tensor(self._model.v_template)
        parameters = {
            name: torch.from_numpy(frame.people[name]).to(like)
            for name in SMPLX_ARGUMENTS
        }
        with_mesh = 'vertices' in frame.people
        with torch.no_grad():
            out = self._model(**parameters, return_vertices=with_mesh)
        joints = out.joints.cpu().numpy()
        changed = {
            'joints3d': joints,
            'joints2d': _project(frame.K, joints.astype(np.float64)),
        }
        if with_mesh:
            changed['vertices'] = out.vertices.cpu().numpy()
        return frame.with_people(**changed)


def _built(model: dict | nn.Module | None) -> Any:
    """The layer; mypy takes attributes of modules for tensors."""
    return MODELS.build(model).eval() if isinstance(model, dict) else model


def _project(K: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Pixels ``(..., 2)`` of points ``(..., 3)``, all finite."""
    image = points @ K.T
    return image[..., :2] / np.maximum(points[..., 2:], _NEAREST)
