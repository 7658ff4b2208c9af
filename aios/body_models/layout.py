# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""How SMPL-X orders poses, joints and coefficients; without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

VERTEX_JOINTS: Mapping[str, int] = {
    'nose': 9120,
    'right_eye': 9929,
    'left_eye': 9448,
    'right_ear': 616,
    'left_ear': 6,
    'left_bigtoe': 5770,
    'left_smalltoe': 5780,
    'left_heel': 8846,
    'right_bigtoe': 8463,
    'right_smalltoe': 8474,
    'right_heel': 8635,
    'left_thumb': 5361,
    'left_index': 4933,
    'left_middle': 5058,
    'left_ring': 5169,
    'left_pinky': 5286,
    'right_thumb': 8079,
    'right_index': 7669,
    'right_middle': 7794,
    'right_ring': 7905,
    'right_pinky': 8022,
}
"""Joints 55 to 75 of ``'smplx_144'`` are vertices of the mesh."""

NUM_SKELETON, NUM_STATIC = 55, 127
"""Joints of ``'smplx_144'`` before vertices, and before the contour."""

NECK = 12
"""The joint whose yaw moves the contour of the face."""

MAX_CONTOUR_YAW = 39
"""Degrees of head yaw for which the contour is tabulated, either side."""

_WIDE_LAYOUT, _WIDE_NUM_BETAS = 400, 300  # 300 shape + 100 expression
_NARROW_NUM_BETAS = 10  # older files: 10 shape + 10 expression


def split_shape_directions(
    shapedirs: np.ndarray, num_betas: int, num_expression_coeffs: int
) -> np.ndarray:
    """Pick the wanted shape and expression directions of a model file.

    Files have 300 shape and 100 expression directions (v1.1) or 10 and 10
    (v1.0, sometimes followed by others).

    Args:
        shapedirs: ``(V, 3, S)``.
        num_betas: Number of shape directions.
        num_expression_coeffs: Number of expression directions.

    Returns:
        ``(V, 3, num_betas + num_expression_coeffs)``.

    Raises:
        ValueError: The file has fewer directions.
    """
    total = shapedirs.shape[2]
    start = _WIDE_NUM_BETAS if total >= _WIDE_LAYOUT else _NARROW_NUM_BETAS
    most = start, 100 if total >= _WIDE_LAYOUT else max(0, min(10, total - 10))
    for name, wanted, limit in (
        ('num_betas', num_betas, most[0]),
        ('num_expression_coeffs', num_expression_coeffs, most[1]),
    ):
        if not 0 <= wanted <= limit:
            raise ValueError(
                f'{name} must be in 0..{limit} for a model file with {total} '
                f'shape directions, got {wanted}'
            )
    columns = np.r_[0:num_betas, start : start + num_expression_coeffs]
    return shapedirs[:, :, columns]


def joints_by_depth(parents: np.ndarray) -> list[np.ndarray]:
    """Joints below the root of a kinematic tree.

    Args:
        parents: ``(J,)`` parent of each joint, before it; the first one is
            the root (its entry is ignored).

    Returns:
        Indices ``(n,)`` of the joints whose depth is 1, of those whose depth
        is 2, and so on.
    """
    depth = np.zeros(len(parents), np.int64)
    for joint, parent in enumerate(parents[1:], start=1):
        depth[joint] = depth[parent] + 1
    return [np.flatnonzero(depth == d) for d in range(1, depth.max() + 1)]
