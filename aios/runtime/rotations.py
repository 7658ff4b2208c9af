# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Axis-angle of rotation matrices, without PyTorch."""

from __future__ import annotations

import numpy as np


def matrix_to_axis_angle(matrix: np.ndarray) -> np.ndarray:
    """Axis-angle of rotation matrices.

    Formulas and signs, with angles up to 2 pi, are those of
    :func:`aios.structures.matrix_to_axis_angle`.

    Args:
        matrix: ``(..., 3, 3)``. The zero matrix gives zero.

    Returns:
        ``(..., 3)`` in radians, of the same dtype.
    """
    m = matrix.astype(np.float64)
    trace = np.stack([m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]], axis=-1)
    signs = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    # Twice the absolute value of each component of the quaternion.
    double = np.sqrt(np.maximum(1 + trace @ signs.T, 0))
    odd = np.stack(
        [
            m[..., 2, 1] - m[..., 1, 2],
            m[..., 0, 2] - m[..., 2, 0],
            m[..., 1, 0] - m[..., 0, 1],
        ],
        axis=-1,
    )
    # Row i is the quaternion times 4 |q_i|.
    rows = np.empty((*m.shape[:-2], 4, 4))
    rows[..., 0, 1:] = rows[..., 1:, 0] = odd
    rows[..., 1:, 1:] = m + np.swapaxes(m, -1, -2)
    for i in range(4):
        rows[..., i, i] = double[..., i] ** 2
    best = double.argmax(-1)[..., None]
    row = np.take_along_axis(rows, best[..., None], axis=-2)[..., 0, :]
    scale = np.take_along_axis(double, best, axis=-1)
    quaternion = row / (2 * np.maximum(scale, 0.1))
    imaginary = quaternion[..., 1:]
    half = np.arctan2(
        np.linalg.norm(imaginary, axis=-1, keepdims=True), quaternion[..., :1]
    )
    # sin(a) / (2 a), without 0 / 0
    vector = imaginary / (np.sinc(half / np.pi) / 2)
    return np.asarray(vector.astype(matrix.dtype))
