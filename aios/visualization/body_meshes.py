# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Meshes of the persons of a data sample.

Symbols: ``n`` persons, ``V`` vertices, ``F`` faces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from aios.body_models import BodyPoser, ground_truth_parameters
from aios.results import as_array, instance_mesh
from aios.structures import Mesh

if TYPE_CHECKING:
    from mmengine.structures import InstanceData


def body_meshes(
    instances: InstanceData, poser: BodyPoser | None
) -> dict[int, Mesh]:
    """Pose a mesh for every person whose body is known.

    A person needs either ``vertices`` (V, 3), camera-frame meters, or the
    parameters ``smplx_pose``, ``smplx_betas``, ``smplx_expression`` and
    ``smplx_transl`` (see :data:`aios.structures.GT_FIELDS`), with the root
    rotation valid and the translation in front of the camera.

    Args:
        instances (InstanceData): Ground truth or predictions.
        poser (BodyPoser | None): Body model, which uses the field ``gender``
            if it has several genders. None: no meshes.

    Returns:
        dict[int, Mesh]: By the person's index, in ascending order.
    """
    if poser is None:
        return {}
    known, bodies = _bodies(poser, instances)
    return {
        index: instance_mesh(vertices, poser.faces, index)
        for index, vertices in zip(known.tolist(), bodies, strict=True)
    }


def _bodies(
    poser: BodyPoser, instances: InstanceData
) -> tuple[np.ndarray, np.ndarray]:
    """Indices and vertices ``(n, V, 3)`` of persons, ascending."""
    if 'vertices' in instances:
        vertices = as_array(instances.vertices)
        return np.arange(len(vertices)), vertices
    known = np.flatnonzero(_has_body(instances))
    if not len(known):
        return known, known
    genders: Any = 'neutral'
    if 'gender' in instances:
        genders = as_array(instances.gender)[known]
    parameters = ground_truth_parameters(
        instances, known, ('betas', 'expression', 'transl')
    )
    return known, poser(parameters, genders).vertices


def _has_body(instances: InstanceData) -> np.ndarray:
    """(n,) bool: persons whose parameters allow a mesh."""
    if 'smplx_pose' not in instances or 'smplx_transl' not in instances:
        return np.zeros(len(instances), bool)
    transl = as_array(instances.smplx_transl)
    has_body = np.isfinite(transl).all(1) & (transl[:, 2] > 0)
    if 'smplx_pose_valid' in instances:
        has_body &= as_array(instances.smplx_pose_valid)[:, 0] > 0
    return has_body
