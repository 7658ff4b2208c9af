# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Legs as chains of rigid bones, posed without a body model.

Joints and rotations of a result determine the bones, so knees can be bent
without the body model.

Legend: ``T`` frames of a person; the axis of 2 after it is left and right.
``soles`` have one more axis of 2, heel and toes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from aios.structures import SMPLX_144


def _both(name: str) -> list[int]:
    return [SMPLX_144.index(f'{side}_{name}') for side in ('left', 'right')]


HIPS, KNEES, ANKLES, FEET = map(_both, ('hip', 'knee', 'ankle', 'foot'))
HEELS, BIG_TOES, SMALL_TOES = map(_both, ('heel', 'bigtoe', 'smalltoe'))
_BENT = (HIPS, KNEES, ANKLES)
_OF_FOOT = (FEET, BIG_TOES, SMALL_TOES, HEELS)
_REACH = 0.9995  # of the leg length; a straight leg has no bending plane
_FORWARD = 0.02  # meters; knees closer to the line of the leg bend forwards


@dataclass(frozen=True)
class Legs:
    """The legs of a person over time.

    Attributes:
        joints: ``(T, 144, 3)`` meters.
        root: ``(T, 3, 3)`` global rotation of the pelvis.
        turns: ``(3, T, 2, 3, 3)`` global rotations of hip, knee and ankle.
        clearance: ``(2,)`` height in meters of heel and toe joints over the
            sole.
    """

    joints: np.ndarray
    root: np.ndarray
    turns: np.ndarray
    clearance: np.ndarray

    @classmethod
    def of(
        cls,
        person: Mapping[str, np.ndarray],
        clearance: np.ndarray | tuple[float, float] = (0.0, 0.0),
    ) -> Legs:
        """Create legs from fields of results.

        Args:
            person: ``joints3d``, ``global_orient`` and ``body_pose``.
            clearance: See the attribute.
        """
        joints = np.asarray(person['joints3d'], np.float64)
        root = _matrices(person['global_orient'])
        locals_ = _matrices(person['body_pose'].reshape(len(joints), 21, 3))
        turns, parent = [], root[:, None]
        for rows in _BENT:  # the root has no row in body_pose
            parent = parent @ locals_[:, np.array(rows) - 1]
            turns.append(parent)
        return cls(joints, root, np.stack(turns), np.asarray(clearance))

    def __len__(self) -> int:
        return len(self.joints)

    @property
    def pelvis(self) -> np.ndarray:
        """Pelvis ``(T, 3)``, meters."""
        return self.joints[:, 0]

    @property
    def soles(self) -> np.ndarray:
        """``(T, 2, 2, 3)`` floor-side points of heel and toes."""
        toes = (self.joints[:, BIG_TOES] + self.joints[:, SMALL_TOES]) / 2
        points = np.stack([self.joints[:, HEELS], toes], axis=2)
        up = self.turns[2][..., 1]
        return points - up[:, :, None] * self.clearance[:, None]

    def poses(self) -> np.ndarray:
        """``(T, 3, 2, 3)`` axis-angle of hips, knees and ankles."""
        parents = np.stack(
            [np.broadcast_to(self.root[:, None], self.turns[0].shape)]
            + list(self.turns[:2])
        )
        local = parents.swapaxes(-1, -2) @ self.turns
        return _vectors(local).swapaxes(0, 1)

    def body_pose(self, pose: np.ndarray) -> np.ndarray:
        """``(T, 63)``: ``pose`` with the rotations of these legs."""
        body = pose.reshape(len(self), 21, 3).copy()
        for rows, vectors in zip(
            _BENT, self.poses().swapaxes(0, 1), strict=True
        ):
            body[:, np.array(rows) - 1] = vectors
        return body.reshape(len(self), 63)

    def shifted(self, shift: np.ndarray) -> Legs:
        """Moved by ``(T, 3)``."""
        return replace(self, joints=self.joints + shift[:, None])

    @property
    def lengths(self) -> np.ndarray:
        """``(T, 2, 1)`` length of thigh plus shin, meters."""
        hips, knees, ankles = (self.joints[:, rows] for rows in _BENT)
        return _norm(knees - hips) + _norm(ankles - knees)

    def overstretch(self, ankles: np.ndarray) -> np.ndarray:
        """``(T, 2, 3)`` part of the way to ankles beyond the legs' reach."""
        line = ankles - self.joints[:, HIPS]
        return line * np.maximum(1 - _REACH * self.lengths / _norm(line), 0)

    def stepped(self, shift: np.ndarray, turn: np.ndarray) -> Legs:
        """Move the feet by inverse kinematics; the pelvis is fixed.

        Args:
            shift: ``(T, 2, 3)`` of the ankles, limited to the legs' reach.
            turn: ``(T, 2, 3)`` axis-angle rotation of feet about the ankle.
        """
        old = [self.joints[:, rows] for rows in _BENT]
        ankles = old[2] + shift
        ankles = ankles - self.overstretch(ankles)
        knees = _bent_knees(
            old[0], old[1], old[2], ankles, self.turns[0][..., 2]
        )
        hip = _matrices(turn_between(old[1] - old[0], knees - old[0]))
        shin = hip @ (old[2] - old[1])[..., None]
        knee = _matrices(turn_between(shin[..., 0], ankles - knees)) @ hip
        foot = _matrices(turn)
        turns = np.stack([hip, knee, foot]) @ self.turns
        joints = self.joints.copy()
        joints[:, KNEES], joints[:, ANKLES] = knees, ankles
        for rows in _OF_FOOT:
            arm = foot @ (self.joints[:, rows] - old[2])[..., None]
            joints[:, rows] = ankles + arm[..., 0]
        return replace(self, joints=joints, turns=turns)


def _bent_knees(
    hips: np.ndarray,
    knees: np.ndarray,
    old: np.ndarray,
    ankles: np.ndarray,
    front: np.ndarray,
) -> np.ndarray:
    """Knees for moved ankles, in the bending plane of the legs."""
    thigh, shin = _norm(knees - hips), _norm(old - knees)
    line = ankles - hips
    distance = np.maximum(_norm(line), 1e-6)
    line = line / distance
    pole = knees - hips
    pole = pole - line * (line * pole).sum(-1, keepdims=True)
    # Nearly straight legs do not define the plane: bend them forwards.
    pole = pole + np.maximum(_FORWARD - _norm(pole), 0) * front
    pole = pole - line * (line * pole).sum(-1, keepdims=True)
    pole /= np.maximum(_norm(pole), 1e-9)
    along = (thigh**2 - shin**2 + distance**2) / (2 * distance)
    along = np.clip(along, -thigh, thigh)
    return hips + along * line + np.sqrt(thigh**2 - along**2) * pole


def turn_between(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Smallest rotations from one direction to another.

    Args:
        start: ``(..., 3)`` of any length.
        end: ``(..., 3)``.

    Returns:
        ``(..., 3)`` axis-angle.
    """
    axis = np.cross(start, end)
    sine = _norm(axis)
    cosine = (start * end).sum(-1, keepdims=True)
    return axis / np.maximum(sine, 1e-12) * np.arctan2(sine, cosine)


def _norm(vectors: np.ndarray) -> np.ndarray:
    return np.linalg.norm(vectors, axis=-1, keepdims=True)


def _matrices(vectors: np.ndarray) -> np.ndarray:
    flat = np.asarray(vectors, np.float64).reshape(-1, 3)
    turns = Rotation.from_rotvec(flat).as_matrix()
    return turns.reshape(*vectors.shape[:-1], 3, 3)


def _vectors(matrices: np.ndarray) -> np.ndarray:
    flat = Rotation.from_matrix(matrices.reshape(-1, 3, 3)).as_rotvec()
    return flat.reshape(*matrices.shape[:-2], 3)
