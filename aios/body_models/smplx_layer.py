# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The SMPL-X layer, differentiable and batched.

Written from the SMPL and SMPL-X papers and the layout of the model files.
Outputs equal those of the ``smplx`` package (see ``docs/en/body_models.md``).

Legend: ``B`` persons, ``V`` = 10475 vertices, ``J`` = 55 joints.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from aios.registry import MODELS

from .base import BodyModelBase, Parameters
from .layout import (
    NECK,
    NUM_SKELETON,
    NUM_STATIC,
    VERTEX_JOINTS,
    contour_rows,
    used_vertices,
)
from .skinning import Skeleton, SkinnedVertices, interpolate_corners


@MODELS.register_module()
class SMPLXLayer(BodyModelBase):
    """SMPL-X: parameters in, joints and vertices out.

    Arguments, attributes and errors are those of
    :class:`~aios.body_models.BodyModelBase`.
    """

    mesh: SkinnedVertices
    anchors: SkinnedVertices
    contour: SkinnedVertices
    anchor_ids: Tensor  # vertices behind joints 55 to 126
    tips: Tensor  # (21,) in the anchors
    landmarks: Tensor  # (51, 3) in the anchors
    landmark_weights: Tensor  # (51, 3)
    contour_ids: Tensor  # vertices behind joints 127 to 143
    contour_corners: Tensor  # (79, 17, 3) in the contour vertices
    contour_weights: Tensor  # (79, 17, 3)

    def _add_geometry(
        self, arrays: dict[str, np.ndarray], dtype: torch.dtype
    ) -> None:
        self.skeleton = Skeleton(arrays, arrays['shapedirs'], dtype)
        self.mesh = _skinned_vertices(arrays, slice(None), dtype)
        self._add_landmarks(arrays, dtype)

    def _add_landmarks(
        self, arrays: Mapping[str, np.ndarray], dtype: torch.dtype
    ) -> None:
        """Make small models of the vertices that joints depend on."""
        faces = arrays['f'].astype(np.int64)
        fixed = faces[arrays['lmk_faces_idx'].astype(np.int64)]
        tips = np.array(list(VERTEX_JOINTS.values()))
        used, (tips, fixed) = used_vertices(tips, fixed)
        self.anchors = _skinned_vertices(arrays, used, dtype)
        self._add_buffer('anchor_ids', used)
        self._add_buffer('tips', tips)
        self._add_buffer('landmarks', fixed)
        self._add_buffer('landmark_weights', arrays['lmk_bary_coords'], dtype)
        if not self.use_face_contour:
            return
        moving = faces[arrays['dynamic_lmk_faces_idx'].astype(np.int64)]
        used, (corners,) = used_vertices(moving)
        self.contour = _skinned_vertices(arrays, used, dtype)
        self._add_buffer('contour_ids', used)
        self._add_buffer('contour_corners', corners)
        self._add_buffer(
            'contour_weights', arrays['dynamic_lmk_bary_coords'], dtype
        )

    @property
    def v_template(self) -> Tensor:  # type: ignore[override]
        """Rest shape ``(V, 3)``, meters."""
        return self.mesh.template

    @property
    def parents(self) -> Tensor:  # type: ignore[override]
        """Parent of each joint ``(J,)``, -1 for the root."""
        return self.skeleton.parents

    @property
    def lbs_weights(self) -> Tensor:
        """Skinning weights ``(V, J)``."""
        return self.mesh.weights

    def _pose_chunk(
        self, params: Parameters, num_joints: int, return_vertices: bool
    ) -> tuple[Tensor | None, Tensor]:
        coefficients = torch.cat([params['betas'], params['expression']], 1)
        local = self.rotation_matrices(params)
        rotations, joints, *motion = self.skeleton(coefficients, local)
        skin = coefficients, *motion
        vertices = self.mesh(*skin) if return_vertices else None
        groups = [joints]
        if num_joints > NUM_SKELETON:
            groups.append(self._anchor_joints(vertices, skin))
        if num_joints > NUM_STATIC:
            neck = rotations[:, NECK]
            groups.append(self._contour_joints(vertices, skin, neck))
        return vertices, torch.cat(groups, dim=1)

    def _anchor_joints(
        self, vertices: Tensor | None, skin: tuple[Tensor, ...]
    ) -> Tensor:
        """Vertex joints and landmarks of the inner face, (B, 21 + 51, 3)."""
        if vertices is None:
            points = self.anchors(*skin)
        else:
            points = vertices.index_select(1, self.anchor_ids)
        landmarks = interpolate_corners(
            points,
            self.landmarks.expand(len(points), -1, -1),
            self.landmark_weights,
        )
        return torch.cat([points.index_select(1, self.tips), landmarks], 1)

    def _contour_joints(
        self,
        vertices: Tensor | None,
        skin: tuple[Tensor, ...],
        neck: Tensor,
    ) -> Tensor:
        """Landmarks of the face contour as seen from the front, (B, 17, 3)."""
        if vertices is None:
            points = self.contour(*skin)
        else:
            points = vertices.index_select(1, self.contour_ids)
        rows = contour_rows(neck.detach())
        return interpolate_corners(
            points, self.contour_corners[rows], self.contour_weights[rows]
        )


def _skinned_vertices(
    arrays: Mapping[str, np.ndarray],
    vertices: slice | np.ndarray,
    dtype: torch.dtype,
) -> SkinnedVertices:
    return SkinnedVertices(
        arrays['v_template'][vertices],
        arrays['shapedirs'][vertices],
        arrays['posedirs'][vertices],
        arrays['weights'][vertices],
        dtype,
    )
