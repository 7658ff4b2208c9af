# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aios.structures import Mesh
from aios.visualization import render_meshes

# Different focal lengths, skew and a principal point far off the center.
K = np.array([[90.0, 5, 7.3], [0, 120, 21.6], [0, 0, 1]])
HEIGHT, WIDTH = 40, 56


def unproject(u, v, z, K=K):
    return np.linalg.inv(K) @ [u, v, 1] * z


def quad(x0, y0, x1, y1, z0, z1=None, colors=(1, 1, 1)):
    """Rectangle [x0, x1) x [y0, y1) in pixels; depth z0 left to z1 right."""
    z1 = z0 if z1 is None else z1
    corners = [(x0, y0, z0), (x1, y0, z1), (x1, y1, z1), (x0, y1, z0)]
    vertices = [unproject(*corner) for corner in corners]
    return Mesh(vertices, [[0, 2, 1], [0, 3, 2]], colors)


def test_pixels_are_those_whose_centers_are_inside():
    # Edges a little off the centers: columns 4 to 9, rows 10 to 29.
    mesh = quad(4.4, 10.4, 10.4, 30.4, 3)
    result = render_meshes([mesh], K, HEIGHT, WIDTH)
    expected = np.full((HEIGHT, WIDTH), -1)
    expected[10:30, 4:10] = 0
    np.testing.assert_array_equal(result.ids, expected)
    assert result.ids.dtype == np.int16
    assert result.depth.dtype == np.float32
    np.testing.assert_array_equal(np.isinf(result.depth), expected < 0)
    np.testing.assert_allclose(result.depth[10:30, 4:10], 3, rtol=1e-6)


def test_depth_and_color_are_perspective():
    colors = [[1, 0, 0], [0, 0, 1], [0, 0, 1], [1, 0, 0]]
    mesh = quad(0, 0, WIDTH, HEIGHT, 1, 5, colors=colors)
    result = render_meshes([mesh], K, HEIGHT, WIDTH, shaded=False)
    t = (np.arange(WIDTH) + 0.5) / WIDTH
    z = 1 / ((1 - t) / 1 + t / 5)
    np.testing.assert_allclose(
        result.depth, np.tile(z, (HEIGHT, 1)), rtol=1e-5
    )
    # Colors change evenly in space, hence with 1 / z on the screen.
    blue = 255 * (z - 1) / 4
    np.testing.assert_allclose(result.image[20, :, 2], blue, atol=1)
    np.testing.assert_allclose(result.image[20, :, 0], 255 - blue, atol=1)


@pytest.mark.parametrize('order', [1, -1])
def test_meshes_that_cross_hide_each_other_by_depth(order):
    meshes = [quad(0, 0, WIDTH, HEIGHT, 2, 6), quad(0, 0, WIDTH, HEIGHT, 3)]
    result = render_meshes(meshes[::order], K, HEIGHT, WIDTH)
    t = (np.arange(WIDTH) + 0.5) / WIDTH
    ramp = 1 / ((1 - t) / 2 + t / 6)
    ids = np.where(ramp < 3, 0, 1)
    ids = ids if order == 1 else 1 - ids
    np.testing.assert_array_equal(result.ids, np.tile(ids, (HEIGHT, 1)))
    np.testing.assert_allclose(result.depth[7], np.minimum(ramp, 3), rtol=1e-5)


def test_the_first_of_equal_meshes_is_seen():
    meshes = [quad(5, 5, 30, 30, 2), quad(5, 5, 30, 30, 2)]
    result = render_meshes(meshes, K, HEIGHT, WIDTH)
    assert set(np.unique(result.ids)) == {-1, 0}


def cast_rays(corners, near=0.01):
    """Depth (H, W) of a triangle by plane intersection, and its margin.

    The margin is how far, in units of barycentric coordinates, the pixel is
    from switching between hit and miss.
    """
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    pixels = np.stack([columns, rows, np.ones_like(rows)], -1)
    rays = pixels @ np.linalg.inv(K).T
    weights = rays @ np.linalg.inv(corners)
    # ray * t = sum(b_k corner_k), sum(b_k) = 1
    with np.errstate(divide='ignore', invalid='ignore'):
        t = 1 / weights.sum(-1)
        inside = (weights * t[..., None]).min(-1)
    depth = np.where((inside >= 0) & (t > near), t, np.inf)
    margin = np.minimum(np.abs(inside), np.abs(t - near))
    return depth, np.nan_to_num(margin)


triangles = st.lists(
    st.tuples(st.floats(-4, 4), st.floats(-4, 4), st.floats(-3, 6)),
    min_size=3,
    max_size=3,
).map(np.array)


@settings(deadline=None, max_examples=60)
@given(corners=triangles)
def test_any_triangle_is_where_rays_meet_it(corners):
    """Also triangles behind, through and beside the camera."""
    if abs(np.linalg.det(corners)) < 1e-2:
        return  # seen from the edge: every pixel is a matter of rounding
    result = render_meshes([Mesh(corners, [[0, 1, 2]])], K, HEIGHT, WIDTH)
    corners = corners.astype(np.float32).astype(np.float64)
    depth, margin = cast_rays(corners)
    sure = margin > 1e-3
    np.testing.assert_array_equal(
        (result.ids >= 0)[sure], np.isfinite(depth)[sure]
    )
    both = (result.ids >= 0) & np.isfinite(depth)
    np.testing.assert_allclose(
        result.depth[both], depth[both], rtol=2e-3, atol=1e-4
    )


def test_a_floor_below_the_camera_reaches_the_horizon():
    size = 1e5
    floor = np.array(
        [
            [-size, 1, -size],
            [size, 1, -size],
            [size, 1, size],
            [-size, 1, size],
        ]
    )
    mesh = Mesh(floor, [[0, 1, 2], [0, 2, 3]])
    result = render_meshes([mesh], K, HEIGHT, WIDTH)
    below = np.arange(HEIGHT) + 0.5 > K[1, 2]
    np.testing.assert_array_equal(
        result.ids >= 0, np.tile(below[:, None], (1, WIDTH))
    )
    z = K[1, 1] / (np.arange(HEIGHT) + 0.5 - K[1, 2])[below]
    np.testing.assert_allclose(result.depth[below, 0], z, rtol=2e-2)


@pytest.mark.parametrize('supersample', [2, 3])
def test_supersampling_smoothes_only_the_image(supersample):
    mesh = quad(4.4, 10, 10, 30, 3)
    coarse, fine = (
        render_meshes(
            [mesh],
            K,
            HEIGHT,
            WIDTH,
            shaded=False,
            supersample=n,
            background=np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        )
        for n in (1, supersample)
    )
    np.testing.assert_array_equal(coarse.ids, fine.ids)
    np.testing.assert_array_equal(coarse.depth, fine.depth)
    np.testing.assert_array_equal(coarse.image[12:28, 5:10], 255)
    np.testing.assert_array_equal(fine.image[12:28, 5:10], 255)
    # Column 4 is covered from 4.4 on: half of the samples, or two of three.
    cover = {2: 1 / 2, 3: 2 / 3}[supersample]
    np.testing.assert_allclose(fine.image[12:28, 4], 255 * cover, atol=1)


@pytest.mark.parametrize('supersample', [1, 2])
def test_alpha_mixes_with_the_background(supersample):
    background = np.full((HEIGHT, WIDTH, 3), (200, 100, 0), np.uint8)
    before = background.copy()
    result = render_meshes(
        [quad(4, 10, 10, 30, 3), quad(4, 10, 10, 30, 4, colors=(1, 0, 0))],
        K,
        HEIGHT,
        WIDTH,
        background=background,
        alpha=0.25,
        shaded=False,
        supersample=supersample,
    )
    np.testing.assert_array_equal(background, before)
    np.testing.assert_array_equal(result.image[:, 12:], before[:, 12:])
    # Only the nearer, white mesh counts: 0.75 * background + 0.25 * white.
    np.testing.assert_allclose(
        result.image[20, 6], [213.75, 138.75, 63.75], atol=1
    )


def test_backgrounds_may_be_float():
    background = np.full((HEIGHT, WIDTH, 3), 0.4, np.float32)
    image = render_meshes([], K, HEIGHT, WIDTH, background=background).image
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, 102)


@pytest.mark.parametrize('right', [3, 2, 9])
@pytest.mark.parametrize('side', [1, -1])
def test_brightness_is_that_of_the_angle_to_the_light(right, side):
    mesh = quad(0, 0, WIDTH, HEIGHT, 3, right)
    mesh = Mesh(mesh.vertices, mesh.faces[:, ::side], mesh.colors)
    image = render_meshes([mesh], K, HEIGHT, WIDTH).image
    a, b, c = mesh.vertices[mesh.faces[0]]
    normal = np.cross(b - a, c - a)
    light = np.array((0.25, -0.5, -0.83))
    cosine = normal @ light / np.linalg.norm(normal) / np.linalg.norm(light)
    expected = 0.45 + 0.6 * max(cosine, 0)
    np.testing.assert_allclose(image[20, 20] / 255, expected, atol=0.01)


@pytest.mark.parametrize('supersample', [1, 2])
@pytest.mark.parametrize(
    'meshes',
    [
        [],
        [Mesh(np.zeros((0, 3)), np.zeros((0, 3), int))],
        [Mesh([[0, 0, 1], [1, 0, 1], [0, 1, 1]], [])],
        [Mesh([[0, 0, 1], [1, 1, 1], [2, 2, 1]], [[0, 1, 2]])],
        [Mesh([[0, 0, 1]], [[0, 0, 0]])],
        [quad(500, 10, 600, 30, 2)],
        [quad(-600, 10, -500, 30, 2)],
        [quad(0, 0, 20, 20, -3)],
        [quad(0, 0, 20, 20, 0)],
        [quad(0, 0, 20, 20, 0.005)],
        [quad(10.3, 10.3, 10.4, 10.4, 3)],
    ],
    ids=[
        'none',
        'no vertices',
        'no faces',
        'no area',
        'one point',
        'right of the image',
        'left of the image',
        'behind',
        'in the camera',
        'too near',
        'between pixel centers',
    ],
)
def test_nothing_to_see(supersample, meshes):
    result = render_meshes(meshes, K, HEIGHT, WIDTH, supersample=supersample)
    assert (result.ids == -1).all()
    assert np.isinf(result.depth).all()
    assert not result.image.any()


def test_ids_count_meshes_that_cannot_be_seen():
    empty = Mesh(np.zeros((0, 3)), [])
    meshes = [empty, quad(0, 0, 5, 5, -1), quad(0, 0, 20, 20, 3), empty]
    result = render_meshes(meshes, K, HEIGHT, WIDTH)
    assert set(np.unique(result.ids)) == {-1, 2}


def test_an_older_opencv_is_named(monkeypatch):
    monkeypatch.delattr(cv2, 'triangleRasterize')
    with pytest.raises(RuntimeError, match='drawing meshes needs OpenCV 5'):
        render_meshes([quad(0, 0, 9, 9, 2)], K, HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'K': np.eye(4)}, r'K must have shape \(3, 3\), got \(4, 4\)'),
        ({'K': np.diag([-5.0, 5, 1])}, 'positive fx and fy'),
        ({'K': np.diag([5.0, 5, 2])}, 'K must be'),
        ({'K': K * np.nan}, 'K must be'),
        ({'height': 0}, 'height and width must be positive'),
        ({'background': np.zeros((3, 3, 3))}, 'background must have shape'),
        (
            {'background': np.full((HEIGHT, WIDTH, 3), 255.0)},
            r'uint8, or float in \[0, 1\]',
        ),
        ({'alpha': 1.5}, r'alpha must lie in \[0, 1\]'),
        ({'supersample': 0}, 'supersample must be an integer from 1 to 8'),
        ({'supersample': 1.5}, 'supersample must be an integer'),
    ],
)
def test_bad_arguments_are_refused(changes, message):
    arguments = {'K': K, 'height': HEIGHT, 'width': WIDTH, **changes}
    with pytest.raises(ValueError, match=message):
        render_meshes([], **arguments)


def test_too_many_meshes_are_refused():
    empty = Mesh(np.zeros((0, 3)), [])
    with pytest.raises(ValueError, match='32768 meshes, allowed are'):
        render_meshes([empty] * 32768, K, HEIGHT, WIDTH)
