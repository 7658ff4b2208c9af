# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from aios.structures import (
    axis_angle_to_matrix,
    flip_axis_angle,
    matrix_to_axis_angle,
    matrix_to_quaternion,
    matrix_to_rotation_6d,
    quaternion_to_axis_angle,
    rotation_6d_to_matrix,
)

ORACLE = np.load(
    Path(__file__).parents[1] / 'data/oracle/comp_rotations_cameras.npz'
)
axis_angles = hnp.arrays(
    np.float64,
    st.tuples(st.integers(0, 5), st.just(3)),
    elements=st.floats(-3.5, 3.5, allow_subnormal=False),
)
quick = settings(deadline=None, max_examples=50)


def oracle(key: str) -> torch.Tensor:
    return torch.from_numpy(ORACLE[key])


def close(a: torch.Tensor, b: torch.Tensor, atol: float = 1e-6) -> None:
    torch.testing.assert_close(a, b, atol=atol, rtol=0, check_dtype=False)


@pytest.mark.parametrize(
    ('function', 'source', 'target', 'atol'),
    [
        (rotation_6d_to_matrix, 'rot6d/in', 'rot6d/out', 1e-6),
        (matrix_to_quaternion, 'mat/in', 'mat/quat_p3d061', 1e-6),
        (matrix_to_axis_angle, 'mat/in', 'mat/aa_p3d061', 2e-6),
        (axis_angle_to_matrix, 'aa/in', 'aa/pytorch3d_aa_to_rotmat', 2e-6),
    ],
)
def test_values_equal_the_original(function, source, target, atol) -> None:
    close(function(oracle(source)), oracle(target), atol)


def test_6d_gradient_equals_the_original() -> None:
    x = oracle('rot6d/in')[3:].requires_grad_()
    rotation_6d_to_matrix(x).mul(oracle('rot6d/outweight')).sum().backward()
    close(x.grad, oracle('rot6d/grad/in_from3'), atol=1e-4)


def test_axis_angle_gradient_equals_the_original() -> None:
    x = oracle('matgrad/in').requires_grad_()
    matrix_to_axis_angle(x).mul(oracle('matgrad/outweight')).sum().backward()
    close(x.grad, oracle('matgrad/grad/in'), atol=1e-3)


def test_zero_6d_is_the_zero_matrix_and_zero_axis_angle() -> None:
    matrix = rotation_6d_to_matrix(torch.zeros(2, 6))
    close(matrix, torch.zeros(2, 3, 3))
    close(matrix_to_axis_angle(matrix), torch.zeros(2, 3))


@quick
@given(axis_angles)
def test_axis_angle_round_trip(x: np.ndarray) -> None:
    matrix = axis_angle_to_matrix(torch.from_numpy(x))
    back = axis_angle_to_matrix(matrix_to_axis_angle(matrix))
    close(back, matrix, atol=1e-7)


@quick
@given(axis_angles)
def test_6d_round_trip(x: np.ndarray) -> None:
    matrix = axis_angle_to_matrix(torch.from_numpy(x))
    close(
        rotation_6d_to_matrix(matrix_to_rotation_6d(matrix)),
        matrix,
        atol=1e-12,
    )


@quick
@given(axis_angles)
def test_flip_is_the_mirrored_rotation_and_an_involution(
    x: np.ndarray,
) -> None:
    mirror = np.diag([-1.0, 1, 1])
    matrix = axis_angle_to_matrix(torch.from_numpy(x)).numpy()
    flipped = flip_axis_angle(x)
    np.testing.assert_allclose(
        axis_angle_to_matrix(torch.from_numpy(flipped)).numpy(),
        mirror @ matrix @ mirror,
        atol=1e-12,
    )
    np.testing.assert_array_equal(flip_axis_angle(flipped), x)


@pytest.mark.parametrize('scale', [0.0, 1e-6, 1e-4, 1.0])
def test_gradients_near_zero_are_exact(scale: float) -> None:
    x = torch.tensor([[0.3, -0.5, 0.8]], dtype=torch.float64) * scale
    x.requires_grad_()
    assert torch.autograd.gradcheck(axis_angle_to_matrix, (x,))
    if scale:
        matrix = axis_angle_to_matrix(x.detach()).requires_grad_()
        assert torch.autograd.gradcheck(matrix_to_quaternion, (matrix,))


def test_zero_rotation_has_finite_gradient_through_axis_angle() -> None:
    matrix = torch.eye(3).requires_grad_()
    matrix_to_axis_angle(matrix).sum().backward()
    assert matrix.grad.isfinite().all()


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_dtype_and_leading_dimensions_are_kept(dtype: torch.dtype) -> None:
    x = torch.zeros(2, 0, 4, 6, dtype=dtype)
    matrix = rotation_6d_to_matrix(x)
    assert (matrix.dtype, matrix.shape) == (dtype, (2, 0, 4, 3, 3))
    assert matrix_to_axis_angle(matrix).shape == (2, 0, 4, 3)


@pytest.mark.parametrize(
    ('function', 'shape'),
    [
        (rotation_6d_to_matrix, (2, 5)),
        (axis_angle_to_matrix, (2, 4)),
        (matrix_to_quaternion, (3, 2)),
        (quaternion_to_axis_angle, (2, 3)),
    ],
)
def test_wrong_shapes_are_refused(function, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match='must have shape'):
        function(torch.zeros(shape))
