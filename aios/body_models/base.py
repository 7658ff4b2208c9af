# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Interface of the SMPL-X backends: arguments, outputs and batches.

Legend: ``B`` persons, ``J`` joints of the requested set, ``V`` vertices,
``K`` joints of one pose argument.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from aios.structures import POSE_JOINTS, axis_angle_to_matrix

from .files import find_body_model, load_body_model_arrays
from .layout import (
    as_pose,
    common_rows,
    joint_source,
    split_shape_directions,
)


@dataclass
class SMPLXOutput:
    """Result of a body model.

    Attributes:
        vertices: ``(B, V, 3)`` meters, or None if not requested.
        joints: ``(B, J, 3)`` meters.
        joint_set: Name of the set that ``joints`` is ordered by.
    """

    vertices: Tensor | None
    joints: Tensor
    joint_set: str


Parameters = dict[str, Tensor]
"""Validated arguments of ``B`` persons by name; poses are ``(B, K, 3)``
axis-angle or ``(B, K, 3, 3)`` rotation matrices."""


class _JointIndex(NamedTuple):
    """Indices of the joints of a set in the native one."""

    source: Tensor  # (J,) int64
    num_source: int  # number of leading native joints needed


class BodyModelBase(nn.Module):
    """Base class of SMPL-X layers: arguments, files, batches, joint sets.

    A backend implements :meth:`_add_geometry` and :meth:`_pose_chunk`, and
    sets the attributes of :class:`~aios.body_models.BodyModel` that are not
    set here.

    The model data are non-persistent buffers: the layer moves with its
    parent module, and checkpoints contain no licensed data.

    Args:
        model_path: See :func:`~aios.body_models.find_body_model`.
        gender: ``'neutral'``, ``'male'`` or ``'female'``.
        num_betas: Number of shape coefficients.
        num_expression_coeffs: Number of expression coefficients.
        flat_hand_mean: Hand poses are relative to the flat hand instead of
            the mean hand of the model. AiOS and the datasets it reads use
            the mean hand.
        use_face_contour: Also return the 17 landmarks of the face contour,
            which move over the face with the yaw of the head.
        dtype: ``torch.float32`` or ``torch.float64``.
        chunk_size: Largest number of persons computed at once; bounds the
            memory of inference. ``None``: all.

    Attributes:
        faces: ``(F, 3)`` int64.
        v_template: ``(V, 3)`` meters.
        lbs_weights: ``(V, 55)``.
        parents: ``(55,)`` int64, -1 for the root.
        hand_mean: ``(2, 15, 3)`` mean pose of the left and right hand,
            axis-angle, independent of ``flat_hand_mean``.

    Raises:
        MissingBodyModelError: No model file.
        BodyModelFileError: The file is not an SMPL-X model.
    """

    faces: Tensor
    parents: Tensor
    v_template: Tensor
    hand_mean: Tensor

    def __init__(
        self,
        model_path: str | os.PathLike | None = 'free',
        gender: str = 'neutral',
        num_betas: int = 10,
        num_expression_coeffs: int = 10,
        flat_hand_mean: bool = False,
        use_face_contour: bool = True,
        dtype: torch.dtype = torch.float32,
        chunk_size: int | None = None,
    ) -> None:
        super().__init__()
        if chunk_size is not None and chunk_size < 1:
            raise ValueError(
                f'chunk_size must be positive or None, got {chunk_size}'
            )
        self.gender = gender
        self.num_betas = num_betas
        self.num_expression_coeffs = num_expression_coeffs
        self.flat_hand_mean = flat_hand_mean
        self.use_face_contour = use_face_contour
        self.chunk_size = chunk_size
        self._joint_index: dict[tuple[str, torch.device], _JointIndex] = {}
        path = find_body_model(model_path, gender)
        arrays = load_body_model_arrays(path)
        arrays['shapedirs'] = split_shape_directions(
            arrays['shapedirs'], num_betas, num_expression_coeffs, path
        )
        hands = np.stack([arrays['hands_meanl'], arrays['hands_meanr']])
        self._add_buffer('faces', arrays['f'].astype(np.int64))
        self._add_buffer('hand_mean', hands.reshape(2, 15, 3), dtype)
        self._add_geometry(arrays, dtype)

    def _add_buffer(
        self, name: str, array: np.ndarray, dtype: torch.dtype | None = None
    ) -> None:
        self.register_buffer(name, torch.as_tensor(array, dtype=dtype), False)

    def _apply(
        self, fn: Callable[[Tensor], Tensor], recurse: bool = True
    ) -> BodyModelBase:
        """Keep the precision of the buffers in half-precision models."""

        def keep_precision(tensor: Tensor) -> Tensor:
            moved = fn(tensor)
            if moved.dtype in (torch.float16, torch.bfloat16):
                return tensor.to(moved.device)
            return moved

        super()._apply(keep_precision, recurse)
        return self

    def _add_geometry(
        self, arrays: dict[str, np.ndarray], dtype: torch.dtype
    ) -> None:
        """Set the buffers of dtype ``dtype`` that :meth:`_pose_chunk` uses.

        Of ``shapedirs``, the arrays have the used directions only.
        """
        raise NotImplementedError

    def forward(
        self,
        betas: Tensor | None = None,
        expression: Tensor | None = None,
        global_orient: Tensor | None = None,
        body_pose: Tensor | None = None,
        left_hand_pose: Tensor | None = None,
        right_hand_pose: Tensor | None = None,
        jaw_pose: Tensor | None = None,
        leye_pose: Tensor | None = None,
        reye_pose: Tensor | None = None,
        transl: Tensor | None = None,
        *,
        joint_set: str | None = None,
        return_vertices: bool = True,
    ) -> SMPLXOutput:
        """Pose the bodies of ``B`` persons.

        Arguments with one row are repeated for all persons; ``None`` means
        zeros (for a hand: the mean hand, unless ``flat_hand_mean``). Poses
        are axis-angle ``(B, K, 3)`` or ``(B, 3 K)`` in radians, or rotation
        matrices ``(B, K, 3, 3)``; kinds may be mixed. The hand mean is
        added to axis-angle hand poses unless ``flat_hand_mean``; matrices
        are absolute.

        Args:
            betas: ``(B, num_betas)`` shape coefficients.
            expression: ``(B, num_expression_coeffs)``.
            global_orient: Root rotation, K = 1, about the pelvis.
            body_pose: K = 21.
            left_hand_pose: K = 15.
            right_hand_pose: K = 15.
            jaw_pose: K = 1.
            leye_pose: K = 1.
            reye_pose: K = 1.
            transl: ``(B, 3)`` meters, added at the end.
            joint_set: Name of the joint set to return, any set whose
                joints the body model has. ``None``: ``'smplx_144'``, or
                ``'smplx_127'`` without the face contour.
            return_vertices: Compute all vertices, instead of only those
                that the joints depend on.

        Returns:
            Vertices and joints, in the dtype of the layer.

        Raises:
            ValueError: A wrong shape, or a joint set that cannot be made.
            KeyError: Unknown joint set.
        """
        joint_set = joint_set or self.native_joint_set
        index = self._indices_of(joint_set)
        params = self._check_params(
            {
                'betas': betas,
                'expression': expression,
                'transl': transl,
                'global_orient': global_orient,
                'body_pose': body_pose,
                'left_hand_pose': left_hand_pose,
                'right_hand_pose': right_hand_pose,
                'jaw_pose': jaw_pose,
                'leye_pose': leye_pose,
                'reye_pose': reye_pose,
            },
        )
        # Half precision would cause errors of millimeters.
        with torch.autocast(self.v_template.device.type, enabled=False):
            count = max(len(params['transl']), 1)
            size = self.chunk_size or count
            chunks = []
            for start in range(0, count, size):
                rows = slice(start, start + size)
                piece = {name: value[rows] for name, value in params.items()}
                chunks.append(
                    self._chunk_output(piece, index, return_vertices)
                )
        vertices, joints = zip(*chunks, strict=True)
        return SMPLXOutput(
            torch.cat(vertices) if return_vertices else None,
            torch.cat(joints),
            joint_set,
        )

    def rotation_matrices(self, params: Parameters) -> Tensor:
        """Rotations of all joints relative to the parent, (B, 55, 3, 3).

        The hand mean is added to axis-angle hand poses.
        """
        poses = []
        for name in POSE_JOINTS:
            pose = params[name]
            if pose.ndim == 3 and 'hand' in name and not self.flat_hand_mean:
                pose = pose + self.hand_mean[int('right' in name)]
            poses.append(pose)
        if all(pose.ndim == 3 for pose in poses):
            # One conversion is faster than one per argument.
            return axis_angle_to_matrix(torch.cat(poses, dim=1))
        matrices = [
            axis_angle_to_matrix(pose) if pose.ndim == 3 else pose
            for pose in poses
        ]
        return torch.cat(matrices, dim=1)

    def _pose_chunk(
        self, params: Parameters, num_joints: int, return_vertices: bool
    ) -> tuple[Tensor | None, Tensor]:
        """Vertices (B, V, 3) or None, and joints, before translation.

        The joints are at least the first ``num_joints`` of 'smplx_144'.
        """
        raise NotImplementedError

    def _chunk_output(
        self, params: Parameters, index: _JointIndex, return_vertices: bool
    ) -> tuple[Tensor | None, Tensor]:
        vertices, joints = self._pose_chunk(
            params, index.num_source, return_vertices
        )
        offset = params['transl'].unsqueeze(1)
        joints = joints.index_select(1, index.source) + offset
        return vertices if vertices is None else vertices + offset, joints

    @property
    def native_joint_set(self) -> str:
        """Name of the largest joint set of this layer."""
        return 'smplx_144' if self.use_face_contour else 'smplx_127'

    def _indices_of(self, joint_set: str) -> _JointIndex:
        key = joint_set, self.v_template.device
        if key not in self._joint_index:
            source = joint_source(self.native_joint_set, joint_set)
            self._joint_index[key] = _JointIndex(
                torch.tensor(source, device=key[1]), int(source.max()) + 1
            )
        return self._joint_index[key]

    def _check_params(self, given: dict[str, Tensor | None]) -> Parameters:
        zeros = self.v_template.new_zeros
        params = {
            'betas': zeros(1, self.num_betas),
            'expression': zeros(1, self.num_expression_coeffs),
            'transl': zeros(1, 3),
            **{name: zeros(1, k, 3) for name, k in POSE_JOINTS.items()},
        }
        known = {
            name: value.to(self.v_template.dtype)
            for name, value in given.items()
            if value is not None
        }
        batch_size = common_rows(known)
        for name, value in known.items():
            if name in POSE_JOINTS:
                value = as_pose(name, value)
            elif value.shape[1:] != params[name].shape[1:]:
                raise ValueError(
                    f'{name} must have shape (B, {params[name].shape[1]}), '
                    f'got {tuple(value.shape)}'
                )
            params[name] = value
        return {
            name: value.expand(batch_size, *value.shape[1:])
            for name, value in params.items()
        }
