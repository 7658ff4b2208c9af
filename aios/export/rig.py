# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""SMPL-X as a rig: bones, four weights per vertex, blend shapes.

Legend: ``T`` frames of a person, ``V`` vertices, ``J`` = 55 joints, ``C`` =
20 coefficients (10 of the shape, then 10 of the expression).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from aios.results import SMPLX_ARGUMENTS, SequenceResult, as_array
from aios.results.poses import PoseRotations
from aios.structures import get_joint_set

if TYPE_CHECKING:
    from aios.body_models import BodyModel

JOINT_NAMES: Sequence[str] = get_joint_set('smplx_55').names
_INFLUENCES = 4
_NUM_BETAS = SMPLX_ARGUMENTS['betas']


@dataclass(frozen=True)
class Rig:
    """Arrays of a body model for skinning.

    Args:
        layer: The body model.
        template: ``(V, 3)`` mean shape in the rest pose, flat hands, meters.
        shapes: ``(C, V, 3)`` blend shapes of the coefficients.
        joints: ``(J, 3)`` rest joints of the mean shape.
        joint_shapes: ``(C, J, 3)`` change of the joints by coefficient.
        bones: ``(V, 4)`` joints with the largest weights.
        weights: ``(V, 4)`` skinning weights with sum one.
        parents: ``(J,)``, -1 for the root.
    """

    layer: BodyModel
    template: np.ndarray
    shapes: np.ndarray
    joints: np.ndarray
    joint_shapes: np.ndarray
    bones: np.ndarray
    weights: np.ndarray
    parents: np.ndarray

    @classmethod
    def of(cls, layer: BodyModel) -> Rig:
        """Create the rig of a body model.

        Args:
            layer: With ten shape and ten expression coefficients.
        """
        units = np.eye(2 * _NUM_BETAS)
        coefficients = np.concatenate([0 * units[:1], units])
        vertices, joints = _rest(layer, coefficients)
        weights = as_array(layer.lbs_weights).astype(np.float64)
        bones = np.argsort(-weights, axis=1, kind='stable')[:, :_INFLUENCES]
        weights = np.take_along_axis(weights, bones, 1)
        weights = weights / weights.sum(1, keepdims=True)
        parents = as_array(layer.parents).copy()
        parents[0] = -1
        return cls(
            layer,
            vertices[0],
            vertices[1:] - vertices[0],
            joints[0],
            joints[1:] - joints[0],
            # glTF requires joint 0 where the weight is zero.
            np.where(weights > 0, bones, 0).astype(np.uint8),
            weights.astype(np.float32),
            parents,
        )

    @property
    def faces(self) -> np.ndarray:
        """Vertex indices ``(F, 3)``."""
        return as_array(self.layer.faces)

    def rest_vertices(self, coefficients: np.ndarray) -> np.ndarray:
        """Rest shapes ``(..., V, 3)`` of coefficients ``(..., C)``."""
        return self.template + np.tensordot(coefficients, self.shapes, 1)

    def rest_joints(self, coefficients: np.ndarray) -> np.ndarray:
        """Rest joints ``(..., J, 3)`` of coefficients ``(..., C)``."""
        return self.joints + np.tensordot(coefficients, self.joint_shapes, 1)

    def bone_offsets(self, coefficients: np.ndarray) -> np.ndarray:
        """Rest joints relative to their parents, ``(..., J, 3)``."""
        joints = self.rest_joints(coefficients)
        offsets = joints.copy()
        offsets[..., 1:, :] -= joints[..., self.parents[1:], :]
        return offsets


def _rest(
    layer: BodyModel, coefficients: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Vertices and joints of unposed bodies with flat hands."""
    from aios.body_models import BodyPoser

    flat = np.tile(np.eye(3), (len(coefficients), 15, 1, 1))
    body = BodyPoser(layer)(
        {
            'betas': coefficients[:, :_NUM_BETAS],
            'expression': coefficients[:, _NUM_BETAS:],
            'left_hand_pose': flat,
            'right_hand_pose': flat,
        },
        joint_set='smplx_55',
    )
    return body.vertices.astype(float), body.joints.astype(float)


@dataclass(frozen=True)
class PersonMotion:
    """Motion of one person on a rig.

    Args:
        person_id: Id of the person.
        frames: ``(T,)`` frames of the person, ascending.
        rows: ``(T,)`` rows of the sequence.
        coefficients: ``(T, C)`` float64.
        rotations: ``(T, J, 4)`` float32 quaternions relative to the parent,
            real part last, with continuous signs.
        transl: ``(T, 3)`` float32 meters.
    """

    person_id: int
    frames: np.ndarray
    rows: np.ndarray
    coefficients: np.ndarray
    rotations: np.ndarray
    transl: np.ndarray

    @classmethod
    def of(
        cls, sequence: SequenceResult, person_id: int, rig: Rig
    ) -> PersonMotion:
        """Create the motion of a person.

        Raises:
            ValueError: If no person has this id, or hand poses of the body
                model are not relative to the mean hand.
        """
        rows = np.flatnonzero(sequence.person_id == person_id)
        if not len(rows):
            raise ValueError(
                f'there is no person with id {person_id}, ids are '
                f'{sequence.person_ids.tolist()}'
            )
        coefficients = np.concatenate(
            [sequence.betas[rows], sequence.expression[rows]], axis=1
        )
        return cls(
            int(person_id),
            sequence.frame_index[rows],
            rows,
            coefficients.astype(np.float64),
            _quaternions(sequence, rows, rig.layer),
            sequence.transl[rows],
        )

    def __len__(self) -> int:
        return len(self.frames)

    def chunks(self, size: int) -> Iterator[slice]:
        """Slices of at most ``size`` frames."""
        for start in range(0, len(self), size):
            yield slice(start, start + size)

    @property
    def mean_coefficients(self) -> np.ndarray:
        """``(C,)`` with the mean shape and zero expression."""
        mean = self.coefficients.mean(0)
        mean[_NUM_BETAS:] = 0
        return mean


def _quaternions(
    sequence: SequenceResult, rows: np.ndarray, layer: BodyModel
) -> np.ndarray:
    persons = sequence.parameters(rows)
    rotations = PoseRotations(layer).rotations(persons).as_quat()
    rotations = rotations.reshape(len(rows), -1, 4)
    # q and -q are the same rotation, but interpolate differently.
    agreement = (rotations[1:] * rotations[:-1]).sum(-1)
    signs = np.cumprod(np.where(agreement < 0, -1.0, 1.0), axis=0)
    rotations[1:] *= signs[..., None]
    return rotations.astype(np.float32)


def forward_kinematics(
    rotations: np.ndarray, offsets: np.ndarray, parents: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pose a skeleton.

    Args:
        rotations: ``(T, J, 4)`` quaternions relative to the parent, real
            part last.
        offsets: ``(T, J, 3)`` joints relative to the parent, unposed.
        parents: ``(J,)``, each before its children.

    Returns:
        Rotations ``(T, J, 3, 3)`` and positions ``(T, J, 3)``, float64.
    """
    local = Rotation.from_quat(rotations.reshape(-1, 4)).as_matrix()
    local = local.reshape(*rotations.shape[:2], 3, 3)
    world, positions = local.copy(), offsets.astype(np.float64)
    for joint, parent in enumerate(parents[1:], start=1):
        world[:, joint] = world[:, parent] @ local[:, joint]
        positions[:, joint] = positions[:, parent] + np.einsum(
            'tij,tj->ti', world[:, parent], positions[:, joint]
        )
    return world, positions
