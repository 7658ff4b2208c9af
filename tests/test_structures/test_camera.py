# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aios.structures import (
    VIRTUAL_FOCAL,
    Camera,
    convert_virtual_camera,
    project_points,
)

focal = st.floats(200, 6000)
offset = st.floats(-50, 50)
quick = settings(deadline=None, max_examples=50)
POINTS = np.random.default_rng(0).normal(size=(7, 3)) + [0, 0, 6]


def camera(fx: float, fy: float, dx: float, dy: float) -> Camera:
    return Camera.from_focal((fx, fy), (640, 480), (320 + dx, 240 + dy))


def test_torch_and_numpy_project_alike() -> None:
    cam = camera(900, 950, 3, -5)
    np.testing.assert_allclose(
        cam.project(POINTS),
        project_points(torch.from_numpy(POINTS), torch.tensor(cam.K)),
    )


def test_points_at_the_camera_plane_have_finite_pixels() -> None:
    cam = camera(100, 100, 0, 0)
    depth = np.array([-2, -1e-3, -1e-9, 0, 1e-9, 1e-3, 2])
    points = np.stack([np.full(7, 0.5), np.zeros(7), depth], axis=1)
    pixels = cam.project(points)
    counted = np.array([-2, -1e-3, -1e-3, 1e-3, 1e-3, 1e-3, 2])
    np.testing.assert_allclose(
        pixels[:, 0], (50 + cam.K[0, 2] * depth) / counted
    )
    np.testing.assert_allclose(
        pixels, project_points(torch.from_numpy(points), torch.tensor(cam.K))
    )


@quick
@given(focal, focal, offset, offset, st.integers(0, 300), st.integers(50, 99))
def test_crop_and_resize_move_the_pixels(fx, fy, dx, dy, x0, size) -> None:
    cam = camera(fx, fy, dx, dy)
    pixels = cam.project(POINTS)
    cropped = cam.crop(x0, 20, 100, 200)
    np.testing.assert_allclose(
        cropped.project(POINTS), pixels - (x0, 20), atol=1e-8
    )
    resized = cropped.resize(size, 77)
    np.testing.assert_allclose(
        resized.project(POINTS),
        (pixels - (x0, 20)) * (size / 100, 77 / 200),
        atol=1e-8,
    )
    assert (resized.width, resized.height) == (size, 77)


@quick
@given(focal, focal, offset, offset)
def test_flip_mirrors_pixels_of_mirrored_points(fx, fy, dx, dy) -> None:
    cam = camera(fx, fy, dx, dy)
    mirrored = cam.flip().project(POINTS * (-1, 1, 1))
    expected = cam.project(POINTS)
    expected[:, 0] = cam.width - expected[:, 0]
    np.testing.assert_allclose(mirrored, expected, atol=1e-8)
    np.testing.assert_allclose(cam.flip().flip().K, cam.K)


@quick
@given(focal, focal, offset, offset, st.floats(2, 50))
def test_virtual_camera_conversion_keeps_the_projection(
    f_from, f_to, dx, dy, depth
) -> None:
    """Position, and size to first order, stay at the person's depth."""
    transl = np.array([0.3, -0.2, depth])
    old = Camera.from_focal(f_from, (640, 480))
    new = Camera.from_focal(f_to, (640, 480), (320 + dx, 240 + dy))
    args = f_from, f_to, old.principal_point, new.principal_point
    moved = convert_virtual_camera(transl, *args)
    np.testing.assert_allclose(
        new.project(moved), old.project(transl), atol=1e-6
    )
    up = np.array([0, 0.1, 0])
    np.testing.assert_allclose(
        new.project(moved + up) - new.project(moved),
        old.project(transl + up) - old.project(transl),
        atol=1e-6,
    )
    back = convert_virtual_camera(moved, f_to, f_from, *args[3:1:-1])
    np.testing.assert_allclose(back, transl, atol=1e-9)


def test_conversion_takes_tensors() -> None:
    out = convert_virtual_camera(
        torch.ones(2, 3), VIRTUAL_FOCAL, 1000.0, (5, 5), (5, 5)
    )
    torch.testing.assert_close(out, torch.tensor([[1, 1, 0.2]] * 2))


@pytest.mark.parametrize(
    'K',
    [
        np.eye(2),
        np.full((3, 3), np.nan),
        np.diag([0.0, 1, 1]),
        np.diag([1.0, 1, 2]),
    ],
)
def test_bad_intrinsics_are_refused(K: np.ndarray) -> None:
    with pytest.raises(ValueError, match='K must be'):
        Camera(K, 10, 10)


def test_bad_size_is_refused() -> None:
    with pytest.raises(ValueError, match='size must be positive'):
        Camera.virtual(0, 10)
