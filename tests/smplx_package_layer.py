# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The ``smplx`` package behind the interface of the project's own layer.

The package is under a licence for non-commercial research; nothing of it is
part of this project.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from aios.body_models import BodyModelBase
from aios.body_models.base import BodyParams
from aios.body_models.layout import split_shape_directions

__all__ = ['SMPLXPackageLayer']


def _load_package_model(
    arrays: dict[str, np.ndarray], dtype: torch.dtype, **kwargs
) -> nn.Module:
    """Build ``smplx.SMPLXLayer`` from arrays that were read safely.

    The package reads files with ``allow_pickle=True``; it is given a
    temporary file without objects instead of the user's.
    """
    import smplx

    # the package reads these even where hands are not in PCA space
    arrays.setdefault('hands_componentsl', np.eye(45))
    arrays.setdefault('hands_componentsr', np.eye(45))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / 'SMPLX_PLAIN.npz'
        np.savez(path, **arrays)  # type: ignore[arg-type]
        # it prints a remark about files with ten coefficients
        with contextlib.redirect_stdout(io.StringIO()):
            return smplx.SMPLXLayer(
                str(path), ext='npz', use_pca=False, dtype=dtype, **kwargs
            )


class SMPLXPackageLayer(BodyModelBase):
    """``smplx.SMPLXLayer`` behind the interface of the project's own layer.

    Same arguments, attributes and results as
    :class:`~aios.body_models.SMPLXLayer`, for comparison. All vertices are
    always computed. The state dict is empty here, too.
    """

    model: Any

    def _add_geometry(
        self, arrays: dict[str, np.ndarray], dtype: torch.dtype
    ) -> None:
        split_shape_directions(  # the package takes fewer without a word
            arrays['shapedirs'], self.num_betas, self.num_expression_coeffs
        )
        self.model = _load_package_model(
            arrays,
            dtype,
            num_betas=self.num_betas,
            num_expression_coeffs=self.num_expression_coeffs,
            flat_hand_mean=self.flat_hand_mean,
            use_face_contour=self.use_face_contour,
        )
        for module in self.model.modules():
            for name, buffer in list(module.named_buffers(recurse=False)):
                module.register_buffer(name, buffer, persistent=False)

    @property
    def v_template(self) -> Tensor:  # type: ignore[override]
        """Rest shape ``(V, 3)``, metres."""
        return self.model.v_template

    @property
    def lbs_weights(self) -> Tensor:
        """Skinning weights ``(V, J)``."""
        return self.model.lbs_weights

    @property
    def parents(self) -> Tensor:
        """``(J,)`` int64, -1 for the root."""
        return self.model.parents

    def _pose_chunk(
        self, params: BodyParams, num_joints: int, return_vertices: bool
    ) -> tuple[Tensor | None, Tensor]:
        import smplx

        if not len(params):  # the package fails on an empty batch
            vertices = self.v_template.new_zeros(0, *self.v_template.shape)
            joints = vertices.new_zeros(0, num_joints, 3)
            return vertices if return_vertices else None, joints
        given = {'betas': params.betas, 'expression': params.expression}
        if all(pose.ndim == 3 for pose in params.poses.values()):
            # SMPLXLayer extends SMPLX, whose forward takes axis-angle and
            # adds the hand mean
            poses = {k: pose.flatten(1) for k, pose in params.poses.items()}
            output = smplx.SMPLX.forward(self.model, **given, **poses)
        else:
            lengths = [pose.shape[1] for pose in params.poses.values()]
            matrices = self.rotation_matrices(params).split(lengths, dim=1)
            poses = dict(zip(params.poses, matrices, strict=True))
            output = self.model(**given, **poses)
        return output.vertices if return_vertices else None, output.joints
