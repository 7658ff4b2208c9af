# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Corrective blend shapes for skinning in glTF.

glTF blends four bones per vertex and has no pose-dependent correctives.  The
difference to the body model is transformed to the rest pose, frame by frame,
and added to a small basis of blend shapes.

Legend: ``T`` frames, ``V`` vertices, ``J`` joints, ``K`` basis shapes.
"""

from __future__ import annotations

import numpy as np

from .rig import Rig, forward_kinematics

_DAMPING = 1e-3  # relative to a rotation; matters where transforms degenerate


class SkinningFrames:
    """Blended transforms of some frames of a person.

    Args:
        rig: The rig.
        bind_joints: ``(J, 3)`` joints of the rest mesh.
        rotations: ``(T, J, 4)`` quaternions, real part last.
        offsets: ``(T, J, 3)`` joints relative to their parents.
    """

    def __init__(
        self,
        rig: Rig,
        bind_joints: np.ndarray,
        rotations: np.ndarray,
        offsets: np.ndarray,
    ) -> None:
        linear, joints = forward_kinematics(rotations, offsets, rig.parents)
        shift = joints - np.einsum('tjab,jb->tja', linear, bind_joints)
        transforms = np.concatenate([linear, shift[..., None]], axis=-1)
        matrix = np.zeros((len(rig.bones), len(rig.parents)))
        rows = np.arange(len(matrix))[:, None]
        np.add.at(matrix, (rows, rig.bones), rig.weights)
        blended = np.tensordot(
            matrix, transforms.reshape(*transforms.shape[:2], 12), (1, 1)
        )
        blended = blended.swapaxes(0, 1).reshape(-1, len(matrix), 3, 4)
        self.linear, self.offset = blended[..., :3], blended[..., 3]

    def pose(self, rest: np.ndarray) -> np.ndarray:
        """Skinned vertices ``(T, V, 3)`` of rest shapes ``(T, V, 3)``."""
        return (self.linear @ rest[..., None])[..., 0] + self.offset


def rest_differences(
    skinning: SkinningFrames, rest: np.ndarray, wanted: np.ndarray
) -> np.ndarray:
    """Change of the rest shape that makes skinning give the wanted mesh.

    Args:
        skinning: Transforms of ``T`` frames.
        rest: ``(T, V, 3)`` rest shapes.
        wanted: ``(T, V, 3)`` posed vertices, without translation.

    Returns:
        ``(T, V, 3)``; a damped least-squares solution where blended
        transforms are singular.
    """
    error = wanted - skinning.pose(rest)
    transposed = skinning.linear.swapaxes(-1, -2)
    normal = transposed @ skinning.linear + _DAMPING**2 * np.eye(3)
    right = transposed @ error[..., None]
    return (_inverse(normal) @ right)[..., 0]


def _inverse(matrices: np.ndarray) -> np.ndarray:
    """Inverse of matrices ``(..., 3, 3)`` by cofactors."""
    rows = [matrices[..., i, :] for i in range(3)]
    columns = [np.cross(rows[i - 2], rows[i - 1]) for i in range(3)]
    determinant = (rows[0] * columns[0]).sum(-1)
    return np.stack(columns, axis=-1) / determinant[..., None, None]


class CorrectiveBasis:
    """An orthonormal basis that grows to represent all added frames.

    One pass suffices, as earlier frames have zero weights for shapes added
    later.

    Args:
        tolerance: Largest allowed error of a vertex, meters.
    """

    def __init__(self, tolerance: float) -> None:
        self.tolerance = tolerance
        self._basis: np.ndarray | None = None
        self._weights: list[np.ndarray] = []

    def add(self, differences: np.ndarray) -> np.ndarray:
        """Add frames.

        Args:
            differences: ``(T, V, 3)``.

        Returns:
            Their projection onto the basis, ``(T, V, 3)``.
        """
        flat = differences.reshape(len(differences), -1)
        if self._basis is None:
            self._basis = np.zeros((0, flat.shape[1]))
        weights = flat @ self._basis.T
        left = flat - weights @ self._basis
        more, more_weights = self._directions(left)
        self._basis = np.concatenate([self._basis, more])
        weights = np.concatenate([weights, more_weights], axis=1)
        self._weights.append(weights)
        return (weights @ self._basis).reshape(differences.shape)

    def _directions(self, left: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Principal directions ``(k, 3 V)`` of residuals, and weights."""
        if self._largest(left) <= self.tolerance:
            return left[:0], np.zeros((len(left), 0))
        values, vectors = np.linalg.eigh(left @ left.T)
        order = np.argsort(-values)
        order = order[values[order] > 1e-12 * values.max()]
        scale = np.sqrt(values[order])
        vectors = vectors[:, order]
        directions = (vectors / scale).T @ left
        weights = vectors * scale
        low, high = 1, len(order)
        while low < high:  # the smallest sufficient number
            count = (low + high) // 2
            rest = left - weights[:, :count] @ directions[:count]
            if self._largest(rest) <= self.tolerance:
                high = count
            else:
                low = count + 1
        return directions[:low], weights[:, :low]

    @staticmethod
    def _largest(differences: np.ndarray) -> float:
        vectors = differences.reshape(len(differences), -1, 3)
        squares = np.einsum('tvi,tvi->tv', vectors, vectors)
        return float(np.sqrt(squares.max(initial=0)))

    def shapes_and_weights(self) -> tuple[np.ndarray, np.ndarray]:
        """Blend shapes ``(K, V, 3)`` and their weights ``(T, K)``.

        Both float32; the largest weight of each shape is one.
        """
        if self._basis is None:
            return np.zeros((0, 0, 3), np.float32), np.zeros((0, 0))
        count = len(self._basis)
        weights = np.concatenate(
            [
                np.pad(w, ((0, 0), (0, count - w.shape[1])))
                for w in self._weights
            ]
        )
        largest = np.abs(weights).max(axis=0)
        shapes = self._basis * largest[:, None]
        # Zeros make sparse accessors smaller.
        shapes[np.abs(shapes) < 1e-3 * self.tolerance] = 0
        # No -1 in reshape, as there may be no shapes.
        num_vertices = shapes.shape[1] // 3
        shapes = shapes.reshape(count, num_vertices, 3).astype(np.float32)
        return shapes, (weights / largest).astype(np.float32)
