# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Rotations: 6-D, matrix, quaternion and axis-angle.

Every function takes tensors with any leading dimensions and is
differentiable.  Conventions (AiOS network, SMPL-X):

* **matrix**: ``(..., 3, 3)``, acts on column vectors.
* **axis-angle**: ``(..., 3)``, direction times angle in radians.
* **6-D** (Zhou et al., CVPR 2019): ``(..., 6)`` read as a row-major 3×2
  matrix, so elements 0, 2, 4 are the first *column* of the rotation and
  elements 1, 3, 5 the second, before orthonormalization.
* **quaternion**: ``(..., 4)``, real part first.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

ArrayT = TypeVar('ArrayT', np.ndarray, Tensor)


def _check(x: Tensor, tail: tuple[int, ...], name: str) -> None:
    if tuple(x.shape[-len(tail) :]) != tail:
        shape = ', '.join(map(str, tail))
        raise ValueError(
            f'{name} must have shape (..., {shape}), got {tuple(x.shape)}'
        )


def rotation_6d_to_matrix(x: Tensor) -> Tensor:
    """Orthonormalize a 6-D representation (Gram-Schmidt).

    NOTE: The zero vector gives the zero matrix, not the identity, as in the
    published network, whose rotation heads start at zero.

    Args:
        x: ``(..., 6)``.

    Returns:
        ``(..., 3, 3)`` matrices.
    """
    _check(x, (6,), '6-D rotations')
    a1, a2 = x.unflatten(-1, (3, 2)).unbind(-1)
    b1 = F.normalize(a1, dim=-1)
    b2 = F.normalize(a2 - (b1 * a2).sum(-1, keepdim=True) * b1, dim=-1)
    b3 = torch.linalg.cross(b1, b2, dim=-1)
    return torch.stack((b1, b2, b3), dim=-1)


def matrix_to_rotation_6d(matrix: Tensor) -> Tensor:
    """First two columns of ``(..., 3, 3)`` as ``(..., 6)``."""
    _check(matrix, (3, 3), 'rotation matrices')
    return matrix[..., :2].flatten(-2)


def axis_angle_to_matrix(axis_angle: Tensor) -> Tensor:
    """Rodrigues' formula, smooth and differentiable at the zero rotation.

    Args:
        axis_angle: ``(..., 3)`` in radians.

    Returns:
        ``(..., 3, 3)`` matrices.
    """
    _check(axis_angle, (3,), 'axis-angle rotations')
    squared = (axis_angle * axis_angle).sum(-1, keepdim=True)
    small = squared < 1e-8
    # The inner `where` keeps 0/0 out of the backward pass.
    angle = torch.where(small, torch.ones_like(squared), squared).sqrt()
    # Half angles: 1 - cos(a) would cancel in float32.
    half_sinc = torch.where(
        small, 1 - squared / 24, (angle / 2).sin() / (angle / 2)
    )
    sinc = torch.where(small, 1 - squared / 6, angle.sin() / angle)
    cosc = half_sinc * half_sinc / 2
    x, y, z = axis_angle.unbind(-1)
    zero = torch.zeros_like(x)
    skew = torch.stack((zero, -z, y, z, zero, -x, -y, x, zero), dim=-1)
    skew = skew.unflatten(-1, (3, 3))
    eye = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return eye + sinc[..., None] * skew + cosc[..., None] * (skew @ skew)


def _sqrt_positive(x: Tensor) -> Tensor:
    """``sqrt(max(x, 0))`` whose gradient is zero, not infinite, at zero."""
    positive = x > 0
    root = torch.where(positive, x, torch.ones_like(x)).sqrt()
    return torch.where(positive, root, torch.zeros_like(x))


def matrix_to_quaternion(matrix: Tensor) -> Tensor:
    """Quaternions of rotation matrices, by the best-conditioned formula.

    The sign is *not* standardized, as in the published network and in
    PyTorch3D up to version 0.7.5: a negative real part gives a rotation of
    more than π.

    Args:
        matrix: ``(..., 3, 3)``.

    Returns:
        ``(..., 4)``, real part first.
    """
    _check(matrix, (3, 3), 'rotation matrices')
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = matrix.flatten(-2).unbind(-1)
    # Twice the absolute value of each of the four components.
    double = _sqrt_positive(
        torch.stack(
            (
                1 + m00 + m11 + m22,
                1 + m00 - m11 - m22,
                1 - m00 + m11 - m22,
                1 - m00 - m11 + m22,
            ),
            dim=-1,
        )
    )
    w, x, y, z = double.unbind(-1)
    # Row i is the quaternion times 2 |q_i| * 2.
    candidates = torch.stack(
        (
            torch.stack((w * w, m21 - m12, m02 - m20, m10 - m01), dim=-1),
            torch.stack((m21 - m12, x * x, m10 + m01, m02 + m20), dim=-1),
            torch.stack((m02 - m20, m10 + m01, y * y, m12 + m21), dim=-1),
            torch.stack((m10 - m01, m20 + m02, m21 + m12, z * z), dim=-1),
        ),
        dim=-2,
    )
    # The floor keeps candidates that are not chosen from overflowing.
    candidates = candidates / (2 * double[..., None].clamp(min=0.1))
    best = double.argmax(-1)[..., None, None].expand(*double.shape[:-1], 1, 4)
    return candidates.gather(-2, best).squeeze(-2)


def quaternion_to_axis_angle(quaternion: Tensor) -> Tensor:
    """``(..., 4)`` quaternions, real part first, to ``(..., 3)``."""
    _check(quaternion, (4,), 'quaternions')
    imaginary = quaternion[..., 1:]
    squared = (imaginary * imaginary).sum(-1, keepdim=True)
    norm = _sqrt_positive(squared)
    half = torch.atan2(norm, quaternion[..., :1])
    small = (2 * half).abs() < 1e-6
    # sin(x/2) / x, by its series where the quotient would be 0/0.
    angle = torch.where(small, torch.ones_like(half), 2 * half)
    ratio = torch.where(small, 0.5 - half * half / 12, half.sin() / angle)
    return imaginary / ratio


def matrix_to_axis_angle(matrix: Tensor) -> Tensor:
    """Axis-angle of rotation matrices.

    Args:
        matrix: ``(..., 3, 3)``.  The zero matrix gives zero.

    Returns:
        ``(..., 3)`` in radians; angles are up to 2π, as published.
    """
    return quaternion_to_axis_angle(matrix_to_quaternion(matrix))


def flip_axis_angle(axis_angle: ArrayT) -> ArrayT:
    """Mirror rotations at the plane ``x = 0``: ``(a, b, c)→(a, -b, -c)``.

    The caller swaps the left and right joints, see
    :attr:`aios.structures.JointSet.flip_permutation`.

    Args:
        axis_angle: ``(..., 3)`` array or tensor.

    Returns:
        The same type, shape and dtype.
    """
    if isinstance(axis_angle, Tensor):
        return axis_angle * axis_angle.new_tensor([1, -1, -1])
    return axis_angle * np.array([1, -1, -1], axis_angle.dtype)
