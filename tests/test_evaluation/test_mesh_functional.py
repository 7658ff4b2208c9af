# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Mesh errors: by hand, from their definition, and as published."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aios.evaluation.functional import (
    MeshPart,
    keypoint_box_iou,
    keypoint_cost,
    match_one_per_image,
    mesh_errors,
    part_errors,
    procrustes_align,
    select_points,
)

ORACLE = Path(__file__).parents[1] / 'data/oracle/comp_mesh_metrics.npz'

# A mesh of six vertices: vertex 0 is the pelvis, 1 and 4 are the wrists.
ROOTS = np.eye(6)
PARTS = {
    'all': MeshPart(ROOTS[0], np.arange(6)),
    'lhand': MeshPart(ROOTS[1], np.array([1, 2, 3]), ROOTS[[1, 2]]),
    'rhand': MeshPart(ROOTS[4], np.array([4, 5]), ROOTS[[4, 5]]),
    'body': MeshPart(ROOTS[0], joints=np.full((1, 6), 1 / 6)),
}


def _meshes(seed: int, persons: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(persons, 6, 3))


class TestByHand:
    def test_errors(self):
        true = _meshes(0, 1)
        predicted = true.copy()
        predicted[0, 2] += (3, 0, 4)  # 5
        predicted[0, 5] += (0, 6, 0)
        errors = mesh_errors(predicted, true, PARTS)
        expected = {
            'MPVPE-all': (5 + 6) / 6,
            'MPVPE-lhand': 5 / 3,
            'MPVPE-rhand': 6 / 2,
            'MPVPE-hand': (5 / 3 + 6 / 2) / 2,
            'MPJPE-lhand': 5 / 2,
            'MPJPE-rhand': 6 / 2,
            'MPJPE-body': np.linalg.norm((3 / 6, 6 / 6, 4 / 6)),
        }
        for name, value in expected.items():
            error, counts = errors[name]
            np.testing.assert_allclose(error, [value], atol=1e-12)
            assert counts.all()

    def test_the_root_moves_everything(self):
        true = _meshes(0, 1)
        predicted = true.copy()
        predicted[0, 0] += (0, 0, 3)
        errors = mesh_errors(predicted, true, PARTS)
        # All others are 3 off; the wrists are not the pelvis.
        assert errors['MPVPE-all'][0] == pytest.approx(3 * 5 / 6)
        assert errors['MPVPE-hand'][0] == pytest.approx(0)

    def test_sides_that_are_not_known(self):
        true = _meshes(0, 4)
        predicted = true.copy()
        predicted[:, 2] += (3, 0, 0)
        known = {
            'lhand': [True, True, False, False],
            'rhand': [True, False, True, False],
        }
        errors = mesh_errors(predicted, true, PARTS, known)
        error, counts = errors['MPVPE-hand']
        np.testing.assert_allclose(error, (0.5, 1, 0, 0))
        np.testing.assert_array_equal(counts, (True, True, True, False))
        np.testing.assert_array_equal(errors['MPVPE-lhand'][1], known['lhand'])
        assert errors['MPVPE-all'][1].all()

    def test_only_visible_points_count_but_all_align(self):
        """Of four corners of a square one moves and one is seen."""
        square = np.zeros((1, 4, 3))
        square[0, :, :2] = ((0, 0), (1, 0), (1, 1), (0, 1))
        predicted = square.copy()
        predicted[0, 3] += (0, 0, 1)
        part = MeshPart(np.eye(4)[0], np.arange(4))

        def first(points):
            return np.arange(points.shape[1]) == np.zeros((1, 1))

        errors = part_errors(predicted, square, part, first)
        assert errors['MPVPE'][0] == 0
        # The moved corner tilts the alignment, so the others are off, too.
        aligned = procrustes_align(predicted, square)(predicted)
        expected = np.linalg.norm(aligned[0, 0] - square[0, 0])
        assert errors['PA-MPVPE'][0] == pytest.approx(expected)
        assert expected > 0.1

    def test_nothing_visible(self):
        def none(points):
            return np.zeros(points.shape[:2], bool)

        meshes = _meshes(0)
        for error, counts in mesh_errors(
            meshes, meshes + 1, PARTS, visible=none
        ).values():
            np.testing.assert_array_equal(error, 0)
            assert not counts.any()

    def test_no_person(self):
        errors = mesh_errors(_meshes(0, 0), _meshes(0, 0), PARTS)
        assert set(errors) >= {'MPVPE-hand', 'PA-MPJPE-body'}
        for error, counts in errors.values():
            assert error.shape == counts.shape == (0,)

    def test_select_points(self):
        meshes = _meshes(0)
        middle = select_points(meshes, np.array([[0.5, 0.5, 0, 0, 0, 0]]))
        np.testing.assert_allclose(
            middle[:, 0], (meshes[:, 0] + meshes[:, 1]) / 2
        )
        np.testing.assert_array_equal(
            select_points(meshes, np.array([3]))[:, 0], meshes[:, 3]
        )


class TestPublished:
    """Numbers of the published evaluator on the meshes it was given."""

    def test_mesh_errors(self):
        oracle = np.load(ORACLE)
        parts = {'all': MeshPart(oracle['root/all'], np.arange(10475))}
        for side in ('lhand', 'rhand'):
            ids = oracle[f'vertices/{side}'].astype(int)
            parts[side] = MeshPart(oracle[f'root/{side}'], ids)
        errors = mesh_errors(oracle['predicted'], oracle['true'], parts)
        for ours, theirs in {
            'all': 'all',
            'hand': 'hand',
            'lhand': 'l_hand',
            'rhand': 'r_hand',
        }.items():
            for kind in ('MPVPE', 'PA-MPVPE'):
                name = f'{kind.lower().replace("-", "_")}_{theirs}'
                error, _ = errors[f'{kind}-{ours}']
                np.testing.assert_allclose(
                    error * 1000, oracle[f'metrics/{name}'], atol=1e-3
                )

    def test_alignment(self):
        oracle = np.load(ORACLE)
        a, b = oracle['rigid/a'], oracle['rigid/b']
        aligned = procrustes_align(a, b)(a.astype(np.float64))
        np.testing.assert_allclose(aligned, oracle['rigid/aligned'])


class TestMatching:
    def test_cost_by_hand(self):
        true = np.array([[[10.0, 20.0], [0, 0]], [[30, 20], [0, 0]]])
        predicted = np.array([[[20.0, 30.0], [0, 0]]])
        cost = keypoint_cost(predicted, true, (100, 50))
        np.testing.assert_allclose(cost, [[0.3 / 2, 0.3 / 2]])
        weights = np.array([[3.0, 1.0], [0, 0]])
        cost = keypoint_cost(predicted, true, (100, 50), weights)
        # The second person has no weights: all joints count alike.
        np.testing.assert_allclose(cost, [[0.3 * 3 / 4, 0.15]])

    def test_boxes_by_hand(self):
        true = np.array([[[0.0, 0], [9, 9], [500, 500]]])
        predicted = np.array([[[5.0, 0], [14, 9], [0, 0]]])
        weights = np.array([[1.0, 1, 0]])
        overlap = keypoint_box_iou(predicted, true, weights)
        np.testing.assert_allclose(overlap, [[50 / 150]])

    def test_one_per_image(self):
        costs = np.array([[0.0, 0.1], [0.5, 0.4]])
        pairs = match_one_per_image([0.3, 0.9], costs)
        np.testing.assert_array_equal(pairs, [[1, 1]])
        for empty in (np.zeros((0, 2)), np.zeros((2, 0))):
            found = match_one_per_image(np.ones(len(empty)), empty)
            assert found.shape == (0, 2)

    @pytest.mark.parametrize('shape', [(0, 3), (3, 0), (0, 0)])
    def test_no_person(self, shape: tuple[int, int]):
        ours, true = (np.zeros((count, 4, 2)) for count in shape)
        assert keypoint_cost(ours, true, (8, 8)).shape == shape
        assert keypoint_box_iou(ours, true).shape == shape
