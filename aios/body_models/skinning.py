# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Building blocks of the SMPL-X layer.

The formulas are those of the SMPL (Loper et al. 2015, Sec. 3) and SMPL-X
(Pavlakos et al. 2019, Sec. 3.1) papers.

Legend: ``B`` persons, ``J`` joints, ``N`` vertices (all or some), ``C``
shape and expression coefficients, ``L`` landmarks.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from .layout import joints_by_depth, rest_skeleton

_SPARSE_DENSITY = 0.05  # below it sparse correctives are faster (benchmark)


class KinematicTree(nn.Module):
    """Forward kinematics, one batched product per depth of the tree.

    Args:
        parents: ``(J,)`` parent of each joint, with a lower index; the first
            entry, of the root, is ignored.
    """

    place: Tensor

    def __init__(self, parents: np.ndarray) -> None:
        super().__init__()
        levels = joints_by_depth(parents)
        order = np.concatenate([[0], *levels])
        place = np.argsort(order)
        self.num_levels = len(levels)
        self.register_buffer('place', torch.from_numpy(place), False)
        for i, level in enumerate(levels):
            above = levels[i - 1] if i else np.zeros(1, np.int64)
            in_level = np.searchsorted(above, parents[level])
            self.register_buffer(f'joints{i}', torch.from_numpy(level), False)
            self.register_buffer(
                f'parents{i}', torch.from_numpy(in_level), False
            )

    def forward(
        self, rotations: Tensor, offsets: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Compose the joints' transforms from the root outwards.

        Args:
            rotations: ``(B, J, 3, 3)`` relative to the parent.
            offsets: ``(B, J, 3)`` rest position relative to the parent.

        Returns:
            Global rotations ``(B, J, 3, 3)`` and positions ``(B, J, 3)``.
        """
        offsets = offsets.unsqueeze(-1)
        rotation, position = rotations[:, :1], offsets[:, :1]
        all_rotations, all_positions = [rotation], [position]
        for i in range(self.num_levels):
            joints = self.get_buffer(f'joints{i}')
            parents = self.get_buffer(f'parents{i}')
            rotation = rotation.index_select(1, parents)
            position = position.index_select(1, parents)
            position = position + rotation @ offsets.index_select(1, joints)
            rotation = rotation @ rotations.index_select(1, joints)
            all_rotations.append(rotation)
            all_positions.append(position)
        rotation = torch.cat(all_rotations, 1).index_select(1, self.place)
        position = torch.cat(all_positions, 1).index_select(1, self.place)
        return rotation, position.squeeze(-1)


class Skeleton(nn.Module):
    """Joints of persons and their transforms of the skin.

    Args:
        arrays: Arrays of a model file.
        shape_directions: ``(V, 3, C)``.
        dtype: Floating-point type.
    """

    parents: Tensor  # (J,) -1 for the root
    template: Tensor  # (J, 3) rest joints of the mean shape
    directions: Tensor  # (C, 3 J) their change with the coefficients

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        shape_directions: np.ndarray,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        parents, joints, moves = rest_skeleton(arrays, shape_directions)
        self.tree = KinematicTree(parents)
        self.register_buffer('parents', torch.from_numpy(parents), False)
        for name, array in (('template', joints), ('directions', moves)):
            value = torch.as_tensor(array, dtype=dtype)
            self.register_buffer(name, value, False)

    def forward(
        self, coefficients: Tensor, local: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Pose the joints.

        Args:
            coefficients: ``(B, C)``.
            local: ``(B, J, 3, 3)`` rotations relative to the parent.

        Returns:
            Global rotations ``(B, J, 3, 3)`` and positions ``(B, J, 3)``;
            for the skin the pose feature ``(B, 9 (J - 1))`` and transforms
            ``(B, J, 3, 4)`` from the rest pose.
        """
        shape = (coefficients @ self.directions).unflatten(1, (-1, 3))
        rest = self.template + shape
        offsets = rest - rest.index_select(1, self.parents.clamp(min=0))
        offsets = torch.cat([rest[:, :1], offsets[:, 1:]], dim=1)
        rotations, joints = self.tree(local, offsets)
        moved = joints - (rotations @ rest.unsqueeze(-1)).squeeze(-1)
        transforms = torch.cat([rotations, moved.unsqueeze(-1)], dim=-1)
        identity = torch.eye(3, dtype=local.dtype, device=local.device)
        feature = (local[:, 1:] - identity).flatten(1)
        return rotations, joints, feature, transforms


class PoseCorrectives(nn.Module):
    """Pose-dependent vertex offsets; a sparse matrix if most are zero.

    Each joint of the free body moves only the vertices near it, each joint
    of the official model all vertices.

    Args:
        directions: ``(N, 3, 486)``.
        dtype: Floating-point type.
    """

    index: Tensor
    row_starts: Tensor
    values: Tensor

    def __init__(self, directions: np.ndarray, dtype: torch.dtype) -> None:
        super().__init__()
        matrix = directions.reshape(-1, directions.shape[-1])
        self.shape = matrix.shape
        # Several times faster than np.nonzero of a two-dimensional array.
        entries = np.divmod(np.flatnonzero(matrix != 0), matrix.shape[1])
        self.sparse = len(entries[0]) < _SPARSE_DENSITY * matrix.size
        if self.sparse:
            # DDP cannot broadcast sparse buffers.
            index = torch.from_numpy(np.stack(entries))
            values = torch.as_tensor(matrix[entries], dtype=dtype)
            self.register_buffer('index', index, False)
            ends = np.bincount(entries[0], minlength=len(matrix)).cumsum()
            starts = torch.from_numpy(np.append(0, ends))
            self.register_buffer('row_starts', starts, False)
        else:
            values = torch.as_tensor(matrix.T.copy(), dtype=dtype)
        self.register_buffer('values', values, False)

    def forward(self, feature: Tensor) -> Tensor:
        """Offsets ``(B, N, 3)`` for the pose feature ``(B, 486)``."""
        if not self.sparse:
            offsets = feature @ self.values
        elif feature.device.type == 'cpu':
            matrix = self._sparse_matrix(feature)
            offsets = torch.sparse.mm(matrix, feature.T).T
        else:
            offsets = feature @ self._dense_matrix().T
        return offsets.unflatten(1, (-1, 3))

    def _sparse_matrix(self, feature: Tensor) -> Tensor:
        needs_grad = torch.is_grad_enabled() and feature.requires_grad
        if torch.backends.mkl.is_available() and not needs_grad:
            return self._sparse_rows()
        return torch.sparse_coo_tensor(
            self.index,
            self.values,
            self.shape,
            is_coalesced=True,
            check_invariants=False,
        )

    def _sparse_rows(self) -> Tensor:
        """CSR matrix, whose products need no sorting of the entries."""
        with warnings.catch_warnings():
            # PyTorch warns once per process that this layout is "beta".
            warnings.simplefilter('ignore', UserWarning)
            return torch.sparse_csr_tensor(
                self.row_starts,
                self.index[1],
                self.values,
                self.shape,
                check_invariants=False,
            )

    def _dense_matrix(self) -> Tensor:
        # For GPUs: fast to fill, while the gradient of a sparse product sorts
        # the matrix and synchronizes to read its size.
        matrix = self.values.new_zeros(self.shape)
        return matrix.index_put((self.index[0], self.index[1]), self.values)


class SkinnedVertices(nn.Module):
    """Blend shapes and linear blend skinning of some vertices.

    Args:
        template: ``(N, 3)`` rest shape.
        shape_directions: ``(N, 3, C)``.
        pose_directions: ``(N, 3, 486)``.
        weights: ``(N, J)`` skinning weights.
        dtype: Floating-point type.
    """

    template: Tensor
    shape_directions: Tensor
    weights: Tensor

    def __init__(
        self,
        template: np.ndarray,
        shape_directions: np.ndarray,
        pose_directions: np.ndarray,
        weights: np.ndarray,
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        flat = shape_directions.reshape(-1, shape_directions.shape[-1])
        for name, array in (
            ('template', template),
            ('shape_directions', flat.T.copy()),
            ('weights', weights),
        ):
            self.register_buffer(
                name, torch.as_tensor(array, dtype=dtype), False
            )
        self.correctives = PoseCorrectives(pose_directions, dtype)

    def forward(
        self, coefficients: Tensor, feature: Tensor, transforms: Tensor
    ) -> Tensor:
        """Pose the vertices.

        Args:
            coefficients: ``(B, C)`` shape, then expression.
            feature: ``(B, 486)`` rotations minus identity, without root.
            transforms: ``(B, J, 3, 4)`` from the rest pose.

        Returns:
            ``(B, N, 3)`` meters.
        """
        shape = (coefficients @ self.shape_directions).unflatten(1, (-1, 3))
        rest = self.template + shape + self.correctives(feature)
        blended = (self.weights @ transforms.flatten(2)).unflatten(2, (3, 4))
        rotated = (blended[..., :3] * rest.unsqueeze(2)).sum(-1)
        return rotated + blended[..., 3]


def interpolate_corners(
    vertices: Tensor, corners: Tensor, weights: Tensor
) -> Tensor:
    """Points inside triangles, by barycentric weights.

    Args:
        vertices: ``(B, N, 3)``.
        corners: ``(B, L, 3)`` vertex indices of the triangles.
        weights: ``(B, L, 3)``.

    Returns:
        ``(B, L, 3)``.
    """
    index = corners.flatten(1).unsqueeze(-1).expand(-1, -1, 3)
    points = vertices.gather(1, index).unflatten(1, corners.shape[1:])
    return (points * weights.unsqueeze(-1)).sum(2)
