# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
import numpy as np
import pytest

from aios.structures import Mesh, vertex_normals

TRIANGLE = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1]], np.float32)
FACE = np.array([[0, 1, 2]])


def test_normals_of_a_sphere_point_outwards(make_sphere):
    vertices, faces = make_sphere()
    normals = vertex_normals(vertices, faces)
    between_poles = np.abs(vertices[:, 2]) < 0.99
    np.testing.assert_allclose(
        normals[between_poles], vertices[between_poles], atol=1e-2
    )
    length = np.linalg.norm(normals[between_poles], axis=1)
    np.testing.assert_allclose(length, 1, rtol=1e-5)


def test_normals_are_weighted_by_area():
    # Vertex 0 belongs to a face of area 0.5 in the xy-plane (normal +z) and
    # to one of area 1.5 in the xz-plane (normal -y).
    vertices = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 3]]
    normals = vertex_normals(vertices, [[0, 1, 2], [0, 1, 3]])
    np.testing.assert_allclose(
        normals[0], np.array([0, -3, 1]) / np.sqrt(10), atol=1e-6
    )


def test_normals_follow_the_faces_that_are_given():
    # Same number of faces and vertices: a stale cache would show here.
    first = vertex_normals(TRIANGLE, FACE)
    second = vertex_normals(TRIANGLE, FACE[:, ::-1])
    np.testing.assert_array_equal(first, -second)


def test_unused_and_degenerate_vertices_have_no_normal():
    vertices = np.concatenate([TRIANGLE, [[5, 5, 5]], [[6, 6, 6]]])
    normals = vertex_normals(vertices, [[0, 1, 2], [4, 4, 4]])
    np.testing.assert_array_equal(normals[3:], 0)
    np.testing.assert_array_equal(vertex_normals(TRIANGLE, []), 0)


def test_mesh_converts_its_arrays():
    mesh = Mesh(TRIANGLE.tolist(), FACE.astype(np.int64), (1, 0, 0.5))
    assert mesh.vertices.dtype == np.float32
    assert mesh.faces.dtype == np.int32
    assert mesh.colors.tolist() == [1, 0, 0.5]


def test_mesh_may_be_empty():
    mesh = Mesh(np.zeros((0, 3)), [])
    assert mesh.faces.shape == (0, 3)


@pytest.mark.parametrize(
    ('vertices', 'faces', 'colors', 'message'),
    [
        (TRIANGLE[:, :2], FACE, (1, 1, 1), r'vertices must have shape \(V, 3'),
        ('abc', FACE, (1, 1, 1), 'vertices must be numbers'),
        (TRIANGLE * np.nan, FACE, (1, 1, 1), 'vertices must be finite'),
        (TRIANGLE, [[0, 1]], (1, 1, 1), r'faces must have shape \(F, 3\)'),
        (TRIANGLE, [[0, 1, 3]], (1, 1, 1), 'index 3 vertices.*0 to 3'),
        (TRIANGLE, [[0, 1, -1]], (1, 1, 1), 'indices from -1'),
        (TRIANGLE, [[0.0, 1, 2]], (1, 1, 1), 'faces must be integers'),
        (TRIANGLE, FACE, (255, 0, 0), r'colors must lie in \[0, 1\]'),
        (TRIANGLE, FACE, np.ones((2, 3)), 'colors must have shape'),
    ],
)
def test_mesh_refuses_bad_input(vertices, faces, colors, message):
    with pytest.raises(ValueError, match=message):
        Mesh(vertices, faces, colors)
