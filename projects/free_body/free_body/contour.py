# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Look-up table of the 17 face-contour landmarks by the yaw of the head.

Row ``k`` holds a yaw of ``k`` degrees for 0..39 and of ``39 - k`` degrees
for 40..78, the order in which SMPL-X code indexes it.
"""

from __future__ import annotations

import numpy as np

from .mesh_ops import outermost_hits
from .skeleton import joint

_ROWS, _POINTS, _MAX_YAW = 79, 17, 39


def contour_landmarks(
    vertices: np.ndarray,
    faces: np.ndarray,
    head_rows: np.ndarray,
    joints: np.ndarray,
    chin: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return triangles (79, 17) and barycentric coordinates (79, 17, 3).

    The contour runs from the right ear over the chin to the left ear. If the
    head turns, its middle part moves to the visible side.

    Args:
        vertices: (V, 3).
        faces: (F, 3).
        head_rows: (F',) rows of ``faces`` that belong to the head.
        joints: (55, 3).
        chin: (3,) lowest point of the chin.
    """
    head = joints[joint('head')]
    ear_height = head[1] + 0.01
    angles = np.linspace(-90, 90, _POINTS)  # right ear .. left ear
    drop = np.cos(np.deg2rad(angles)).clip(0) ** 0.75
    heights = ear_height + (chin[1] + 0.004 - ear_height) * drop
    origins = np.zeros((_POINTS, 3))
    origins[:, 1] = heights
    origins[:, 2] = head[2] + 0.02
    rows = np.zeros((_ROWS, _POINTS), np.int64)
    bary = np.zeros((_ROWS, _POINTS, 3))
    for k in range(_ROWS):
        yaw = k if k <= _MAX_YAW else _MAX_YAW - k
        turned = angles * 0.95 + 0.45 * yaw * np.cos(np.deg2rad(angles))
        azimuth = np.deg2rad(np.clip(turned, -100, 100))
        outward = np.stack(
            [np.sin(azimuth), np.zeros(_POINTS), np.cos(azimuth)], 1
        )
        hit, bary[k], _ = outermost_hits(
            vertices, faces[head_rows], origins, outward
        )
        rows[k] = head_rows[hit]
    return rows, bary
