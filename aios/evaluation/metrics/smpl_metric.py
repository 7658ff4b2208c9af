# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Errors against SMPL bodies: 3DPW and EMDB."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from aios.body_models import load_smplx_to_smpl
from aios.evaluation.functional import (
    MeshPart,
    align_roots,
    mean_point_error,
    part_errors,
    procrustes_point_error,
)
from aios.evaluation.samples import name_of
from aios.evaluation.smpl_parts import (
    SMPL_JOINTS,
    SMPLGroundTruth,
    load_smpl_part,
)
from aios.registry import METRICS
from aios.structures import joint_mapping
from aios.utils.choices import check_choice

from .mesh_metric import Persons, SMPLXMeshMetric, known_millimeters

# SMPL joints that the labels have, and their indices in the labels.
_LABELS = joint_mapping('smplx_137', 'smpl_22')
_SHARED = np.flatnonzero(_LABELS >= 0)
_LABELS = _LABELS[_SHARED]
_HIPS = [1, 2]  # also among the shared joints
_ROOTS = ('pelvis', 'hips')


@METRICS.register_module()
class SMPLMetric(SMPLXMeshMetric):
    """Errors of SMPL-X predictions against SMPL bodies, in millimeters.

    Reported are

    - ``MPJPE-skeleton`` and ``PA-MPJPE-skeleton`` of 15 skeleton joints that
      SMPL and SMPL-X share: pelvis, neck, head, hips, knees, ankles,
      shoulders, elbows and wrists, aligned at the midpoint of the hips.
      They need no file;
    - ``MPJPE-body`` and ``PA-MPJPE-body`` of joints regressed from the
      predicted and the true SMPL vertices;
    - ``MPVPE-all`` (PVE) and ``PA-MPVPE-all`` of the 6890 vertices, the
      latter aligned by the joints;
    - the counts of :class:`SMPLXMeshMetric`, with ``recall`` but without
      ``precision``, since not all persons are annotated.

    Args:
        body_model: Config of the SMPL layer.  ``smplx2smpl...pkl`` and the
            regressor lie beside it, see ``docs/en/body_models.md``.
        match: See :class:`SMPLXMeshMetric`.
        joints: Regressed joints, see
            :func:`~aios.evaluation.smpl_parts.load_smpl_part`.
        root: Where bodies are aligned, ``'pelvis'`` (the regressed one) or
            ``'hips'`` (their midpoint).
        surfaces: Whether to evaluate meshes.  If not, only the skeleton is
            evaluated, and no file is needed.
        **kwargs: See :class:`SMPLXMeshMetric`.

    Raises:
        ValueError: If ``joints`` or ``root`` is unknown.
    """

    all_annotated = False

    def __init__(
        self,
        body_model: Mapping[str, Any] | None = None,
        match: str = 'hungarian',
        joints: str = 'smpl_24',
        root: str = 'hips',
        surfaces: bool = True,
        **kwargs: Any,
    ) -> None:
        body_model = dict(body_model or dict(type='SMPLLayer'))
        # Joints that SMPL does not have must not count in the match.
        kwargs = dict(weighted_match=True) | kwargs
        super().__init__(body_model=body_model, match=match, **kwargs)
        check_choice('joints', joints, SMPL_JOINTS)
        check_choice('root', root, _ROOTS)
        self.joints, self.root = joints, root
        self.surfaces = surfaces
        self.bodies = SMPLGroundTruth(self.body_model)
        self.fields = ('bboxes', 'joints2d', 'joints3d')
        if surfaces:
            self.fields += ('vertices',)

    @cached_property
    def part(self) -> MeshPart:
        """Evaluated mesh part; read when it is needed."""
        path = self.body_model.get('model_path')
        return load_smpl_part(path, self.joints, self.root)

    @cached_property
    def to_smpl(self) -> Any:
        """Sparse matrix from vertices of SMPL-X to those of SMPL."""
        return load_smplx_to_smpl(self.body_model.get('model_path'))

    def has_body(self, true: Persons) -> np.ndarray:
        """``(G,)`` bool: persons with SMPL parameters."""
        return true['smplx_pose_valid'][:, 0] > 0

    def _errors(
        self,
        sample: Mapping[str, Any],
        predicted: Persons,
        true: Persons,
        pairs: np.ndarray,
    ) -> dict[str, np.ndarray]:
        if 'smpl_pose' not in true:
            raise ValueError(
                f'{name_of(sample)}: has no SMPL '
                'parameters; the dataset needs read_smpl=True'
            )
        if not len(pairs):
            return {}
        errors = _skeleton_errors(predicted, true, pairs)
        if self.surfaces:
            meshes, _ = self.bodies(true, pairs[:, 1])
            predicted_meshes = np.stack(
                [self.to_smpl @ predicted['vertices'][i] for i in pairs[:, 0]]
            )
            mesh_errors = part_errors(predicted_meshes, meshes, self.part)
            for name, error in mesh_errors.items():
                part = 'all' if 'MPVPE' in name else 'body'
                errors[f'{name}-{part}'] = error
        return known_millimeters(errors)


def _skeleton_errors(
    predicted: Persons, true: Persons, pairs: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Errors of the shared joints, and persons with a known one."""
    joints = predicted['joints3d'][pairs[:, 0]][:, _SHARED]
    true_joints = true['keypoints3d'][pairs[:, 1]][:, _LABELS]
    known = true['keypoints3d_visible'][pairs[:, 1]][:, _LABELS] > 0
    known &= known[:, _HIPS].all(1, keepdims=True)
    aligned, true_aligned = (
        align_roots(points, points[:, _HIPS].mean(1))
        for points in (joints, true_joints)
    )
    return {
        'MPJPE-skeleton': mean_point_error(aligned, true_aligned, known),
        'PA-MPJPE-skeleton': procrustes_point_error(
            joints, true_joints, known
        ),
    }
