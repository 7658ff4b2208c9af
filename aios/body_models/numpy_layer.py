# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The SMPL-X layer without PyTorch, for inference.

The formulas are those of the SMPL (Loper et al. 2015, Sec. 3) and SMPL-X
(Pavlakos et al. 2019, Sec. 3.1) papers.

Legend: ``B`` persons, ``V`` = 10475 vertices, ``N`` some of them, ``J`` = 55
joints, ``C`` coefficients.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.spatial.transform import Rotation

from aios.structures import POSE_JOINTS

from .files import find_body_model, load_body_model_arrays
from .layout import (
    NECK,
    NUM_SKELETON,
    NUM_STATIC,
    VERTEX_JOINTS,
    as_pose,
    common_rows,
    contour_rows,
    joint_source,
    joints_by_depth,
    rest_skeleton,
    split_shape_directions,
    used_vertices,
)

_SPARSE_DENSITY = 0.05  # sparse correctives below it are faster
_VECTORS = ('betas', 'expression', 'transl')


class NumpyBodies(NamedTuple):
    """Posed bodies.

    Attributes:
        vertices: ``(B, V, 3)`` meters, or None if not requested.
        joints: ``(B, n, 3)`` meters.
        joint_set: Name of the set that ``joints`` is ordered by.
    """

    vertices: np.ndarray | None
    joints: np.ndarray
    joint_set: str


class NumpySMPLXLayer:
    """SMPL-X: parameters in, joints and vertices out, as arrays.

    Results equal those of :class:`~aios.body_models.SMPLXLayer` up to
    rounding.

    Args:
        model_path: See :func:`~aios.body_models.find_body_model`.
        gender: ``'neutral'``, ``'male'`` or ``'female'``.
        num_betas: Number of shape coefficients.
        num_expression_coeffs: Number of expression coefficients.
        flat_hand_mean: See :class:`~aios.body_models.BodyModelBase`.
        chunk_size: Largest number of persons computed at once; bounds the
            memory.

    Attributes:
        faces: ``(F, 3)`` int64.
        v_template: ``(V, 3)`` float32 meters.
        lbs_weights: ``(V, 55)`` float32.
        parents: ``(55,)`` int64, -1 for the root.
        hand_mean: ``(2, 15, 3)`` float32 mean pose of the left and right
            hand, axis-angle.

    Raises:
        MissingBodyModelError: No model file.
        BodyModelFileError: The file is not an SMPL-X model.
        ValueError: An option is out of range.
    """

    def __init__(
        self,
        model_path: str | os.PathLike | None = 'free',
        gender: str = 'neutral',
        num_betas: int = 10,
        num_expression_coeffs: int = 10,
        flat_hand_mean: bool = False,
        chunk_size: int = 64,
    ) -> None:
        if chunk_size < 1:
            raise ValueError(f'chunk_size must be positive, got {chunk_size}')
        self.flat_hand_mean = flat_hand_mean
        self.chunk_size = chunk_size
        path = find_body_model(model_path, gender)
        arrays = load_body_model_arrays(path)
        arrays['shapedirs'] = split_shape_directions(
            arrays['shapedirs'], num_betas, num_expression_coeffs, path
        )
        self._sizes = dict(
            zip(_VECTORS, (num_betas, num_expression_coeffs, 3), strict=True)
        )
        self.faces = arrays['f'].astype(np.int64)
        hands = np.stack([arrays['hands_meanl'], arrays['hands_meanr']])
        self.hand_mean = hands.reshape(2, 15, 3).astype(np.float32)
        self.parents, joints, moves = rest_skeleton(
            arrays, arrays['shapedirs']
        )
        self._levels = joints_by_depth(self.parents)
        self._joints, self._joint_directions = _single(joints), _single(moves)
        self._mesh = _Skin.read(arrays)
        self.v_template = self._mesh.template
        self.lbs_weights = _single(arrays['weights'])
        self._add_landmarks(arrays)

    def _add_landmarks(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Make small models of the vertices that joints depend on."""
        tips = np.array(list(VERTEX_JOINTS.values()))
        fixed = self.faces[arrays['lmk_faces_idx'].astype(np.int64)]
        self._anchor_ids, groups = used_vertices(tips, fixed)
        self._tips, self._landmarks = groups
        self._landmark_weights = _single(arrays['lmk_bary_coords'])
        self._anchors = self._mesh.select(self._anchor_ids)
        moving = self.faces[arrays['dynamic_lmk_faces_idx'].astype(np.int64)]
        self._contour_ids, (self._corners,) = used_vertices(moving)
        self._corner_weights = _single(arrays['dynamic_lmk_bary_coords'])
        self._contour = self._mesh.select(self._contour_ids)

    def __call__(
        self,
        *,
        joint_set: str = 'smplx_144',
        return_vertices: bool = True,
        **parameters: Any,
    ) -> NumpyBodies:
        """Pose the bodies of ``B`` persons.

        Args:
            joint_set: Name of the joint set to return.
            return_vertices: Compute all vertices, instead of only those
                that the joints depend on.
            **parameters: Those of
                :meth:`aios.body_models.BodyModelBase.forward`, as arrays.

        Raises:
            TypeError: An unknown parameter.
            ValueError: A wrong shape, or a joint set that cannot be made.
            KeyError: Unknown joint set.
        """
        source = joint_source('smplx_144', joint_set)
        num_joints = int(source.max()) + 1
        vectors, rotations = self._read(parameters)
        chunks = []
        for start in range(0, max(len(rotations), 1), self.chunk_size):
            rows = slice(start, start + self.chunk_size)
            piece = {name: value[rows] for name, value in vectors.items()}
            chunks.append(
                self._pose(piece, rotations[rows], num_joints, return_vertices)
            )
        joints = np.concatenate([joints for _, joints in chunks])[:, source]
        vertices = [x for x, _ in chunks if x is not None]
        return NumpyBodies(
            np.concatenate(vertices) if vertices else None, joints, joint_set
        )

    def _read(
        self, parameters: Mapping[str, Any]
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Vectors ``(B, size)`` and rotations ``(B, 55, 3, 3)``."""
        unknown = set(parameters) - {*self._sizes, *POSE_JOINTS}
        if unknown:
            raise TypeError(
                f'unknown parameter {min(unknown)!r}; bodies have '
                f'{", ".join((*self._sizes, *POSE_JOINTS))}'
            )
        given = {
            name: np.asarray(value, np.float32)
            for name, value in parameters.items()
            if value is not None
        }
        count = common_rows(given)
        vectors = {}
        for name, size in self._sizes.items():
            value = given.get(name, np.zeros((1, size), np.float32))
            if value.shape[1:] != (size,):
                raise ValueError(
                    f'{name} must have shape (B, {size}), got {value.shape}'
                )
            vectors[name] = np.broadcast_to(value, (count, size))
        rotations = []
        for name, number in POSE_JOINTS.items():
            value = given.get(name, np.zeros((1, number, 3), np.float32))
            matrices = self._matrices(name, value)
            shape = (count, number, 3, 3)
            rotations.append(np.broadcast_to(matrices, shape))
        return vectors, np.concatenate(rotations, axis=1)

    def _matrices(self, name: str, pose: np.ndarray) -> np.ndarray:
        """Rotations ``(B, K, 3, 3)`` of an argument."""
        pose = as_pose(name, pose)
        if pose.ndim == 4:
            return pose
        if 'hand' in name and not self.flat_hand_mean:
            pose = pose + self.hand_mean[int('right' in name)]
        return rotation_matrices(pose)

    def _pose(
        self,
        vectors: Mapping[str, np.ndarray],
        local: np.ndarray,
        num_joints: int,
        return_vertices: bool,
    ) -> tuple[np.ndarray | None, np.ndarray]:
        """Vertices, and at least the first ``num_joints`` joints."""
        offset = vectors['transl'][:, None]
        coefficients = np.concatenate(
            [vectors['betas'], vectors['expression']], axis=1
        )
        shape = coefficients @ self._joint_directions
        rest = self._joints + shape.reshape(-1, *self._joints.shape)
        rotations, joints = self._pose_skeleton(local, rest)
        moved = joints - (rotations @ rest[..., None])[..., 0]
        transforms = np.concatenate([rotations, moved[..., None]], axis=-1)
        feature = local[:, 1:] - np.eye(3, dtype=np.float32)
        feature = feature.reshape(-1, 9 * (local.shape[1] - 1))
        skin = coefficients, feature, transforms
        vertices = self._mesh(*skin) if return_vertices else None

        def points_of(ids: np.ndarray, model: _Skin) -> np.ndarray:
            return model(*skin) if vertices is None else vertices[:, ids]

        groups = [joints]
        if num_joints > NUM_SKELETON:
            points = points_of(self._anchor_ids, self._anchors)
            inside = points[:, self._landmarks]
            inside = (inside * self._landmark_weights[..., None]).sum(2)
            groups += [points[:, self._tips], inside]
        if num_joints > NUM_STATIC:
            points = points_of(self._contour_ids, self._contour)
            rows = contour_rows(rotations[:, NECK])
            person = np.arange(len(rows))[:, None, None]
            corners = points[person, self._corners[rows]]
            weights = self._corner_weights[rows][..., None]
            groups.append((corners * weights).sum(2))
        all_joints = np.concatenate(groups, axis=1) + offset
        return None if vertices is None else vertices + offset, all_joints

    def _pose_skeleton(
        self, local: np.ndarray, rest: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Global rotations and positions of the skeleton's joints."""
        rotations, positions = local.copy(), rest.copy()
        for joints in self._levels:
            parents = self.parents[joints]
            bones = rest[:, joints] - rest[:, parents]
            above = rotations[:, parents]
            rotations[:, joints] = above @ local[:, joints]
            positions[:, joints] = (
                positions[:, parents] + (above @ bones[..., None])[..., 0]
            )
        return rotations, positions


@dataclass(frozen=True)
class _Skin:
    """Blend shapes and linear blend skinning of some vertices.

    Args:
        template: ``(N, 3)`` rest shape.
        weights: ``(N, J)`` skinning weights, a few per vertex.
        shapes: ``(C, 3 N)`` shape directions.
        correctives: ``(3 N, 486)`` pose directions, sparse or not.
    """

    template: np.ndarray
    weights: sparse.csr_array
    shapes: np.ndarray
    correctives: Any

    @classmethod
    def read(cls, arrays: Mapping[str, np.ndarray]) -> _Skin:
        """All vertices of a model file."""
        directions = arrays['posedirs']
        correctives: Any = _single(directions.reshape(-1, directions.shape[2]))
        if np.count_nonzero(correctives) < _SPARSE_DENSITY * correctives.size:
            correctives = sparse.csr_array(correctives)
        return cls(
            _single(arrays['v_template']),
            sparse.csr_array(_single(arrays['weights'])),
            _flat(arrays['shapedirs']),
            correctives,
        )

    def select(self, vertices: np.ndarray) -> _Skin:
        """Model of some of the vertices."""
        rows = (3 * vertices[:, None] + np.arange(3)).ravel()
        return _Skin(
            self.template[vertices],
            self.weights[vertices],
            np.ascontiguousarray(self.shapes[:, rows]),
            self.correctives[rows],
        )

    def __call__(
        self,
        coefficients: np.ndarray,
        feature: np.ndarray,
        transforms: np.ndarray,
    ) -> np.ndarray:
        """Posed vertices ``(B, N, 3)``.

        Args:
            coefficients: ``(B, C)`` shape, then expression.
            feature: ``(B, 486)`` rotations minus identity, without root.
            transforms: ``(B, J, 3, 4)`` from the rest pose.
        """
        moved = coefficients @ self.shapes + (self.correctives @ feature.T).T
        rest = self.template + moved.reshape(-1, *self.template.shape)
        blended = np.empty((*rest.shape, 4), np.float32)
        flat = transforms.reshape(*transforms.shape[:2], 12)
        for person, bones in zip(blended, flat, strict=True):
            person[:] = (self.weights @ bones).reshape(person.shape)
        rotated = np.einsum('bnij,bnj->bni', blended[..., :3], rest)
        return np.asarray(rotated + blended[..., 3])


def rotation_matrices(axis_angle: np.ndarray) -> np.ndarray:
    """``(..., 3)`` axis-angle to ``(..., 3, 3)`` of its dtype."""
    shape = *axis_angle.shape, 3
    if not axis_angle.size:  # older versions of SciPy raise an error
        return np.zeros(shape, axis_angle.dtype)
    rotations = Rotation.from_rotvec(axis_angle.reshape(-1, 3))
    return rotations.as_matrix().reshape(shape).astype(axis_angle.dtype)


def _single(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, np.float32)


def _flat(directions: np.ndarray) -> np.ndarray:
    """``(N, 3, C)`` as ``(C, 3 N)``."""
    return _single(directions.reshape(-1, directions.shape[-1]).T)
