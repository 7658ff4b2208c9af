# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Formulas, against hand-computed cases and against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from aios.evaluation.functional import (
    DetectionCounts,
    align_roots,
    average_precision,
    masked_mean,
    match_best_overlap,
    match_greedy,
    match_hungarian,
    mean_point_error,
    pairwise_iou,
    procrustes_align,
    procrustes_point_error,
)

SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(deadline=None, max_examples=30)


def _points(seed: int, persons: int = 4, count: int = 9) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(persons, count, 3))


class TestErrors:
    def test_by_hand(self):
        true = np.zeros((2, 3, 3))
        predicted = true.copy()
        predicted[0, :, 0] = (3, 0, 0)
        predicted[0, :, 1] = (4, 0, 1)
        error, counts = mean_point_error(predicted, true)
        np.testing.assert_allclose(error, (2, 0))  # (5 + 0 + 1) / 3
        assert counts.all()

    def test_only_known_points_count(self):
        true = np.zeros((2, 2, 3))
        predicted = true + np.array((0, 0, 2.0))
        predicted[0, 1] = np.nan
        mask = np.array([[True, False], [False, False]])
        error, counts = mean_point_error(predicted, true, mask)
        np.testing.assert_array_equal(error, (2, 0))
        np.testing.assert_array_equal(counts, (True, False))

    def test_no_person(self):
        error, counts = mean_point_error(*np.empty((2, 0, 5, 3)))
        assert error.shape == counts.shape == (0,)

    def test_root(self):
        points = _points(0)
        moved = align_roots(points, points[:, 2])
        np.testing.assert_array_equal(moved[:, 2], 0)
        np.testing.assert_allclose(moved[:, 0], points[:, 0] - points[:, 2])

    def test_masked_mean(self):
        values = np.array([[1.0, 3.0, np.nan], [np.nan] * 3])
        mask = np.array([[1, 1, 0], [0, 0, 0]], bool)
        mean, known = masked_mean(values, mask)
        np.testing.assert_array_equal(mean, (2, 0))
        np.testing.assert_array_equal(known, (True, False))


class TestProcrustes:
    @FEW
    @given(SEEDS)
    def test_undoes_a_similarity(self, seed: int):
        rng = np.random.default_rng(seed)
        source = _points(seed)
        rotation = Rotation.random(4, random_state=seed).as_matrix()
        scale = rng.uniform(0.1, 10, 4)
        shift = rng.normal(size=(4, 3)) * 10
        target = scale[:, None, None] * (source @ rotation.swapaxes(1, 2))
        target += shift[:, None]
        found = procrustes_align(source, target)
        np.testing.assert_allclose(found.scale, scale, rtol=1e-9)
        np.testing.assert_allclose(found.rotation, rotation, atol=1e-9)
        np.testing.assert_allclose(found(source), target, atol=1e-8)

    @FEW
    @given(SEEDS)
    def test_nothing_near_it_is_better(self, seed: int):
        """A minimum of the sum of squares, for a target that is no copy."""
        source, target = _points(seed), _points(seed + 1)
        found = procrustes_align(source, target)
        least = np.square(found(source) - target).sum((1, 2))
        rng = np.random.default_rng(seed)
        turn = Rotation.from_rotvec(rng.normal(size=(4, 3)) * 0.05)
        for other in (
            found.scale[:, None, None]
            * (source @ (turn.as_matrix() @ found.rotation).swapaxes(1, 2))
            + found.translation[:, None],
            found(source) + rng.normal(size=(4, 1, 3)) * 0.05,
            found(source * 1.02),
        ):
            assert (np.square(other - target).sum((1, 2)) >= least).all()

    def test_does_not_mirror(self):
        source = _points(3)
        target = source * (-1, 1, 1)
        found = procrustes_align(source, target)
        np.testing.assert_allclose(np.linalg.det(found.rotation), 1)
        assert (procrustes_point_error(source, target)[0] > 0.05).all()

    def test_leaves_out_what_does_not_count(self):
        source, target = _points(7), _points(8)
        mask = np.ones(source.shape[:2], bool)
        mask[:, 5:] = False
        some = procrustes_align(source[:, :5], target[:, :5])
        source[:, 6] = np.nan
        masked = procrustes_align(source, target, mask)
        np.testing.assert_allclose(masked.rotation, some.rotation)
        np.testing.assert_allclose(masked.translation, some.translation)

    @pytest.mark.parametrize('count', [0, 1, 2])
    def test_few_points(self, count: int):
        source, target = _points(9, count=count), _points(10, count=count)
        error, known = procrustes_point_error(source, target)
        np.testing.assert_allclose(error, 0, atol=1e-12)
        assert known.all() == (count > 0)

    @pytest.mark.parametrize('place', [0.0, 1.0, 0.1, 1e6 / 3])
    def test_all_points_the_same(self, place: float):
        """Their mean is not exactly where they are: rounding is no size."""
        source, target = np.full((1, 6, 3), place), _points(1, 1, 6)
        found = procrustes_align(source, target)
        assert found.scale == 1
        np.testing.assert_allclose(
            found(source), target.mean(1, keepdims=True).repeat(6, 1)
        )
        # The other way round everything shrinks to the point.
        found = procrustes_align(target, source)
        np.testing.assert_allclose(found(target), source, atol=1e-12)

    def test_points_in_a_plane_or_on_a_line(self):
        """A mirror image of a plane is a rotation of it."""
        plane = _points(2) * (1, 1, 0)
        line = _points(2)[:, :1] * np.linspace(-1, 2, 9)[None, :, None]
        for source, target in (
            (plane, plane * (-1, 1, 1)),
            (line, -line),
            (line, line * 3),
        ):
            found = procrustes_align(source, target)
            np.testing.assert_allclose(np.linalg.det(found.rotation), 1)
            np.testing.assert_allclose(found(source), target, atol=1e-12)


class TestMatching:
    def test_iou_by_hand(self):
        iou = pairwise_iou([[0, 0, 2, 2]], [[1, 1, 3, 3], [5, 5, 6, 6]])
        np.testing.assert_allclose(iou, [[1 / 7, 0]])

    def test_greedy_takes_the_best_score_first(self):
        overlaps = np.array([[0.9, 0.0], [0.95, 0.6], [0.7, 0.2]])
        pairs = match_greedy([0.9, 0.8, 0.7], overlaps)
        # The second would rather have person 0, who is taken.
        np.testing.assert_array_equal(pairs, [[0, 0], [1, 1]])

    @FEW
    @given(SEEDS, st.floats(0, 1))
    def test_greedy_of_a_part(self, seed: int, threshold: float):
        """Low scores change nothing for high ones."""
        rng = np.random.default_rng(seed)
        scores, overlaps = rng.random(8), rng.random((8, 5))
        pairs = match_greedy(scores, overlaps)
        high = scores >= threshold
        part = match_greedy(scores[high], overlaps[high])
        part[:, 0] = np.flatnonzero(high)[part[:, 0]]
        np.testing.assert_array_equal(pairs[high[pairs[:, 0]]], part)

    def test_hungarian(self):
        costs = np.array([[1.0, 2.0], [1.5, 9.0]])
        np.testing.assert_array_equal(match_hungarian(costs), [[0, 1], [1, 0]])
        allowed = np.array([[True, False], [True, True]])
        np.testing.assert_array_equal(
            match_hungarian(costs, allowed), [[0, 0], [1, 1]]
        )

    @FEW
    @given(SEEDS)
    def test_hungarian_makes_as_many_pairs_as_can_be(self, seed: int):
        rng = np.random.default_rng(seed)
        costs = rng.normal(size=(5, 6)) * 10.0 ** rng.integers(-3, 4)
        allowed = rng.random((5, 6)) < 0.3
        pairs = match_hungarian(costs, allowed)
        from scipy.sparse import csr_matrix
        from scipy.sparse.csgraph import maximum_bipartite_matching

        most = maximum_bipartite_matching(csr_matrix(allowed))
        assert len(pairs) == (most >= 0).sum()
        assert allowed[tuple(pairs.T)].all()
        assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)

    def test_best_overlap_may_take_one_twice(self):
        overlaps = np.array([[0.8, 0.7, 0.0], [0.1, 0.2, 0.0]])
        np.testing.assert_array_equal(
            match_best_overlap(overlaps), [[0, 0], [0, 1]]
        )

    @pytest.mark.parametrize('shape', [(0, 3), (3, 0), (0, 0)])
    def test_no_person(self, shape: tuple[int, int]):
        for pairs in (
            match_greedy(np.zeros(shape[0]), np.zeros(shape)),
            match_hungarian(np.zeros(shape)),
            match_best_overlap(np.zeros(shape)),
        ):
            assert pairs.shape == (0, 2)


class TestDetection:
    def test_by_hand(self):
        counts = DetectionCounts(found=6, wrong=2, missed=4)
        assert counts.precision == 0.75
        assert counts.recall == 0.6
        assert counts.f1 == pytest.approx(2 * 0.75 * 0.6 / 1.35)

    def test_nothing(self):
        counts = DetectionCounts(0, 0, 0)
        assert counts.precision == counts.recall == counts.f1 == 0

    def test_average_precision_by_hand(self):
        # precision 1, 1/2, 2/3 at recalls 1/3, 1/3, 2/3; one is missed
        value = average_precision([0.9, 0.8, 0.7], [True, False, True], 3)
        assert value == pytest.approx((1 + 2 / 3) / 3)

    def test_average_precision_limits(self):
        assert average_precision([0.5, 0.6], [True, True], 2) == 1
        assert average_precision([], [], 2) == 0
        assert average_precision([0.5], [False], 0) == 0
