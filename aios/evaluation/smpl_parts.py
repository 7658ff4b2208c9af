# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Vertices and joints of SMPL that benchmarks evaluate, read from its files.

Symbols: ``V`` = 6890 vertices.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from aios.body_models import find_smpl, load_h36m_regressor
from aios.body_models.smpl import load_smpl_arrays
from aios.evaluation.functional import MeshPart
from aios.evaluation.samples import GroundTruthBodies

# The 14 joints of LSP among the 17 of Human3.6M: right and left leg from the
# ankle up, right and left arm from the wrist up, neck, top of the head.
_LSP_14 = (6, 5, 4, 1, 2, 3, 16, 15, 14, 11, 12, 13, 8, 10)
_LSP_HIPS, _SMPL_HIPS = (2, 3), (1, 2)

SMPL_JOINTS = ('lsp_14', 'smpl_24')
"""Joint sets supported by :func:`load_smpl_part`."""


def load_smpl_part(
    model_path: str | os.PathLike | None, joints: str, root: str
) -> MeshPart:
    """All vertices of SMPL, and joints regressed from them.

    Args:
        model_path: See :func:`aios.body_models.find_smpl`.
        joints: ``'lsp_14'``: the 14 joints used on 3DPW, regressed as for
            Human3.6M; ``'smpl_24'``: SMPL's own.
        root: Where bodies are aligned: ``'pelvis'``, or ``'hips'`` for the
            midpoint of the hips.

    Returns:
        The part; PA-MPVPE aligns by its joints.

    Raises:
        MissingBodyModelError: If a file is missing; the message names it and
            its source.
    """
    if joints == 'lsp_14':
        all_joints = load_h36m_regressor(model_path)
        regressor, hips = all_joints[list(_LSP_14)], _LSP_HIPS
    else:
        arrays = load_smpl_arrays(find_smpl(model_path, 'neutral'))
        all_joints = regressor = arrays['J_regressor'].astype(np.float64)
        hips = _SMPL_HIPS
    middle = regressor[list(hips)].mean(0)
    return MeshPart(
        root=all_joints[0] if root == 'pelvis' else middle,
        vertices=np.arange(regressor.shape[1]),
        joints=regressor,
        surface_by_joints=True,
    )


class SMPLGroundTruth(GroundTruthBodies):
    """Poses true SMPL bodies, each with the model of its gender.

    Args:
        body_model: Config of an SMPL layer.
    """

    @staticmethod
    def parameters(
        persons: Mapping[str, np.ndarray], index: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Arguments of the layer, from ``smpl_pose`` and ``smpl_betas``."""
        pose = persons['smpl_pose'][index]
        return dict(
            betas=persons['smpl_betas'][index],
            global_orient=pose[:, :3],
            body_pose=pose[:, 3:],
        )
