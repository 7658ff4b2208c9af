# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Small results in the formats of other programs."""

from __future__ import annotations

from typing import Any

import numpy as np

from aios.structures import get_joint_set

FOCAL, SIZE = 900.0, (640, 480)
NUM_VERTICES = 6


def mhr_person(place: tuple[float, float, float], seed: int) -> dict[str, Any]:
    """The dictionary of SAM 3D Body for one person."""
    rng = np.random.default_rng(seed)
    points = rng.normal(scale=0.3, size=(70, 3)).astype(np.float32)
    place = np.array(place, np.float32)
    seen = points + place
    pixels = FOCAL * seen[:, :2] / seen[:, 2:] + np.divide(SIZE, 2)
    return {
        'bbox': np.array([*pixels.min(0), *pixels.max(0)]),
        'focal_length': np.float32(FOCAL),
        'pred_cam_t': place,
        'pred_keypoints_3d': points,
        'pred_keypoints_2d': pixels.astype(np.float32),
        'pred_vertices': rng.normal(scale=0.3, size=(NUM_VERTICES, 3)),
        'pred_joint_coords': rng.normal(scale=0.3, size=(127, 3)),
        'mhr_model_params': np.zeros(204),
    }


def mhr(name: str) -> int:
    return get_joint_set('mhr_70').index(name)
