# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""From the people of a data sample to meshes in front of its camera.

Symbols: ``n`` persons, ``V`` vertices, ``F`` faces.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData
from torch import nn

from aios.registry import MODELS
from aios.structures import GENDER_NAMES, POSE_ROWS

from .mesh import Mesh
from .palette import instance_color

__all__ = ['BodyMesher', 'as_array']


def as_array(value: Any) -> np.ndarray:
    """NumPy array of a tensor, a box structure or an array."""
    value = getattr(value, 'tensor', value)
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    return np.asarray(value)


class BodyMesher:
    """Builds a mesh for every person whose body is known.

    A person needs either ``vertices`` (V, 3), camera-frame metres, or the
    parameters ``smplx_pose``, ``smplx_betas``, ``smplx_expression`` and
    ``smplx_transl`` (see :data:`aios.structures.GT_FIELDS`), with the root
    rotation valid and the translation in front of the camera.

    Args:
        body_model (dict | nn.Module | None): Config of an SMPL-X layer, built
            when it is first needed, or the layer. A config without ``gender``
            gives every person the body of the field ``gender``. None: no
            meshes.
    """

    def __init__(self, body_model: dict | nn.Module | None) -> None:
        self._body_model = body_model
        self._layers: dict[str, nn.Module] = {}

    def __call__(self, instances: InstanceData) -> dict[int, Mesh]:
        """Meshes of the people that have one.

        Args:
            instances (InstanceData): Ground truth or predictions.

        Returns:
            dict[int, Mesh]: By the person's index, in ascending order.
        """
        if self._body_model is None or not len(instances):
            return {}
        return {
            index: Mesh(vertices, faces, np.divide(instance_color(index), 255))
            for index, vertices, faces in sorted(
                self._bodies(instances), key=lambda body: body[0]
            )
        }

    def _bodies(
        self, instances: InstanceData
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Index, vertices (V, 3) and faces (F, 3) of people, in any order."""
        if 'vertices' in instances:
            faces = as_array(self._layer('neutral').faces)
            vertices = as_array(instances.vertices)
            yield from ((i, v, faces) for i, v in enumerate(vertices))
            return
        genders = self._genders(instances)
        known = np.flatnonzero(_has_body(instances))
        for gender in sorted(set(genders[known].tolist())):
            chosen = known[genders[known] == gender]
            layer = self._layer(gender)
            with torch.no_grad():
                output = layer(**_parameters(instances, chosen, layer))
            faces = as_array(layer.faces)
            for index, vertices in zip(
                chosen.tolist(), as_array(output.vertices), strict=True
            ):
                yield index, vertices, faces

    def _genders(self, instances: InstanceData) -> np.ndarray:
        """(n,) names of the bodies to use."""
        if 'gender' not in instances:
            return np.full(len(instances), 'neutral')
        codes = as_array(instances.gender).tolist()
        unknown = sorted(set(codes) - set(GENDER_NAMES))
        if unknown:
            raise ValueError(
                f'gender must be one of {dict(GENDER_NAMES)}, got {unknown[0]}'
            )
        return np.array([GENDER_NAMES[code] for code in codes])

    def _layer(self, gender: str) -> nn.Module:
        if isinstance(self._body_model, nn.Module):
            return self._body_model
        config = dict(self._body_model or {})
        gender = config.setdefault('gender', gender)
        if gender not in self._layers:
            self._layers[gender] = MODELS.build(config).eval()
        return self._layers[gender]


def _has_body(instances: InstanceData) -> np.ndarray:
    """(n,) bool: people whose parameters allow a mesh."""
    if 'smplx_pose' not in instances or 'smplx_transl' not in instances:
        return np.zeros(len(instances), bool)
    transl = as_array(instances.smplx_transl)
    has_body = np.isfinite(transl).all(1) & (transl[:, 2] > 0)
    if 'smplx_pose_valid' in instances:
        has_body &= as_array(instances.smplx_pose_valid)[:, 0] > 0
    return has_body


def _parameters(
    instances: InstanceData, chosen: np.ndarray, layer: nn.Module
) -> dict[str, torch.Tensor]:
    """Keyword arguments of the body layer for some of the people."""
    like = torch.as_tensor(layer.v_template)

    def get(field: str) -> torch.Tensor:
        return torch.from_numpy(as_array(instances[field])[chosen]).to(like)

    pose = get('smplx_pose')
    parameters = {name: pose[:, index] for name, index in POSE_ROWS.items()}
    parameters['transl'] = get('smplx_transl')
    for name, field in (
        ('betas', 'smplx_betas'),
        ('expression', 'smplx_expression'),
    ):
        if field in instances:
            parameters[name] = get(field)
    return parameters
