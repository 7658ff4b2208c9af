# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""SMPL-X poses as rotations of ``J`` = 55 joints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from aios.structures import POSE_JOINTS

from .predictions import as_array


class PoseRotations:
    """Convert pose arguments of results to rotations and back.

    Args:
        layer: Body model of the results; ``None`` if unknown.

    Raises:
        ValueError: If its hand poses are not relative to the mean hand.
    """

    def __init__(self, layer: Any) -> None:
        self._offsets = {
            name: np.zeros(3 * count) for name, count in POSE_JOINTS.items()
        }
        if layer is None:
            return
        if getattr(layer, 'flat_hand_mean', False):
            raise ValueError(
                'hand poses of results are relative to the mean hand pose, '
                'so the body model must have flat_hand_mean=False'
            )
        # The model adds the mean to the axis-angle vectors, so only the sums
        # are rotations.
        mean = as_array(layer.hand_mean).astype(np.float64)
        self._offsets['left_hand_pose'] = mean[0].ravel()
        self._offsets['right_hand_pose'] = mean[1].ravel()

    def rotations(self, persons: Mapping[str, np.ndarray]) -> Rotation:
        """Rotations of one or more persons, hands included.

        Args:
            persons: With the pose arguments of SMPL-X, axis-angle, ``(...,
                3 * joints)``.

        Returns:
            ``J`` rotations per person, flat.
        """
        vectors = [
            persons[name] + offset for name, offset in self._offsets.items()
        ]
        return Rotation.from_rotvec(
            np.concatenate(vectors, axis=-1).reshape(-1, 3)
        )

    def poses(self, rotations: Rotation) -> dict[str, np.ndarray]:
        """The inverse of :meth:`rotations`, ``(n, 3 * joints)``.

        Angles are at most pi.
        """
        ends = 3 * np.cumsum(list(POSE_JOINTS.values()))
        vectors = rotations.as_rotvec().reshape(-1, ends[-1])
        parts = np.split(vectors, ends[:-1], axis=1)
        return {
            name: part - self._offsets[name]
            for name, part in zip(POSE_JOINTS, parts, strict=True)
        }

    def interpolate(
        self,
        start: Mapping[str, np.ndarray],
        end: Mapping[str, np.ndarray],
        weight: float,
    ) -> dict[str, np.ndarray]:
        """Pose arguments between two persons, on the shortest arcs.

        Args:
            start: See :meth:`rotations`.
            end: See :meth:`rotations`.
            weight: 0 for ``start``, 1 for ``end``.
        """
        rotations = self.rotations(start)
        arcs = (rotations.inv() * self.rotations(end)).as_rotvec()
        between = self.poses(rotations * Rotation.from_rotvec(weight * arcs))
        return {
            name: value.reshape(start[name].shape)
            for name, value in between.items()
        }
