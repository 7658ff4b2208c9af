# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Pose correctives of the free body, worked out instead of stored.

The SMPL family adds ``posedirs @ (R - I)`` to the rest shape before linear
blend skinning. We choose these directions so that bent joints keep their
volume. Doing it at expansion keeps a 60 MB array out of the seed.
"""

from __future__ import annotations

import numpy as np

__all__ = ['pose_correctives']

_BULGE = 0.06
_REACH = 0.08


def pose_correctives(
    template: np.ndarray,
    weights: np.ndarray,
    joints: np.ndarray,
    parents: np.ndarray,
) -> np.ndarray:
    """Return the pose-corrective directions.

    Args:
        template: Rest vertices (V, 3), metres.
        weights: Skinning weights (V, J).
        joints: Rest joints (J, 3), metres.
        parents: Parent of every joint (J,), -1 for the root.

    Returns:
        (V, 3, 9 (J - 1)) float64, in the order of the flattened rotation
        matrices of joints 1 .. J-1.
    """
    directions = np.zeros((*template.shape, 9 * (len(parents) - 1)))
    for joint in range(1, len(parents)):
        blend = 4 * weights[:, joint] * weights[:, parents[joint]]
        near = np.flatnonzero(blend > 0.02)
        offset = template[near] - joints[joint]
        length = np.linalg.norm(offset, axis=1, keepdims=True)
        push = blend[near, None] * offset * np.minimum(1, _REACH / length)
        for diagonal in (0, 4, 8):
            directions[near, :, 9 * (joint - 1) + diagonal] = -_BULGE * push
    return directions
