# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Scores of persons in photographs, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from script_loader import load_script

SCORES = load_script('projects/free_model/photograph_scores.py')
NOBODY = np.zeros((0, 4))
L_SHOULDER, R_HIP, L_WRIST = (
    SCORES.JOINTS.index(name)
    for name in ('left_shoulder', 'right_hip', 'left_wrist')
)


def box(x, y=0, width=10, height=10):
    return [x, y, x + width, y + height]


class TestMatches:
    def test_each_prediction_is_one_thing(self):
        persons = np.array([box(0), box(100), box(200)])
        doubtful = np.array([box(300)])
        boxes = np.array(
            [
                box(1),  # the first person
                box(0),  # once more, and better, but less sure
                box(104),  # overlaps the second by 6 / 14
                box(304),  # a doubtful person, by 6 / 14
                box(400),  # no person
            ]
        )
        scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
        matches = SCORES.match_persons(scores, boxes, persons, doubtful)
        assert matches.pairs.tolist() == [[0, 0]]
        assert matches.doubles == 1
        assert matches.false == 2

    def test_a_doubtful_person_beside_is_no_double(self):
        matches = SCORES.match_persons(
            np.array([0.9, 0.8]),
            np.array([box(0), box(6)]),
            np.array([box(0)]),
            np.array([box(6)]),
        )
        assert (matches.doubles, matches.false) == (0, 0)

    @pytest.mark.parametrize('count', [0, 2])
    def test_images_without_persons(self, count):
        boxes = np.array([box(0), box(50)])[:count]
        matches = SCORES.match_persons(
            np.ones(count), boxes.reshape(-1, 4), NOBODY, NOBODY
        )
        assert len(matches.pairs) == matches.doubles == 0
        assert matches.false == count


def pose():
    """Joints ``(1, 12, 3)`` of a person upright, roughly 1.7 m."""
    rows = []
    for x in (0.2, -0.2):
        rows.append([[x, -0.5, 0], [x, -0.2, 0], [x, 0.1, 0]])
        rows[-1] += [[x / 2, 0, 0], [x / 2, 0.4, 0], [x / 2, 0.8, 0]]
    left, right = np.array(rows, float)
    return np.stack([left, right], 1).reshape(1, 12, 3)


class TestPCK:
    def test_the_torso_sets_the_radius(self):
        true = np.zeros((1, 12, 2))
        true[0, R_HIP] = [30, 40]  # the torso is 50 long: radius 10
        predicted = true.copy()
        predicted[0, L_WRIST] = [6, 8]
        visible = np.ones((1, 12), bool)
        assert SCORES.pck(predicted, true, visible) == (12, 12)
        predicted[0, L_WRIST] = [6.1, 8]
        assert SCORES.pck(predicted, true, visible) == (11, 12)
        visible[0, L_WRIST] = False
        assert SCORES.pck(predicted, true, visible) == (11, 11)

    def test_only_joints_in_the_image_are_visible(self):
        keypoints = np.array(
            [[5, 5, 0.9], [5, 5, 0.4], [-1, 5, 0.9], [5, 20, 0.9]]
        )
        visible = SCORES.visible_joints(keypoints, (30, 20))
        assert visible.tolist() == [True, False, False, False]


class TestErrors3D:
    KNOWN = np.ones((1, 12), bool)

    def test_place_and_size_do_not_count(self):
        moved = 3 * pose() + [1, 2, 3]
        errors = SCORES.scale_aligned_errors(moved, pose(), self.KNOWN)
        assert errors == pytest.approx([0], abs=1e-12)

    def test_direction_counts(self):
        """Seen from behind: each joint is moved by twice its x."""
        turned = pose() * [-1, 1, -1]
        errors = SCORES.scale_aligned_errors(turned, pose(), self.KNOWN)
        # 3 joints at 0.2 and 3 at 0.1, of each side
        assert errors == pytest.approx([2 * (0.2 + 0.1) / 2])

    def test_unknown_joints_do_not_count(self):
        wrong, known = pose(), self.KNOWN.copy()
        wrong[0, L_WRIST] += 5
        known[0, L_WRIST] = False
        errors = SCORES.scale_aligned_errors(wrong, pose(), known)
        assert errors == pytest.approx([0], abs=1e-12)


class TestSummary:
    def test_counts_and_gain(self):
        turned = pose() * [-1, 1, -1]
        true = np.concatenate([pose(), turned])
        pixels = 100 * true[..., :2] + 200
        found = dict(
            predicted_2d=pixels,
            true_2d=pixels,
            visible=np.ones((2, 12), bool),
            predicted_3d=np.concatenate([pose(), pose()]),
            true_3d=true,
        )
        matches = [
            SCORES.Matches(np.array([[0, 0], [1, 1]]), doubles=1, false=0),
            SCORES.Matches(np.zeros((0, 2), int), doubles=0, false=1),
        ]
        numbers = SCORES.summarize(matches, 4, found)
        assert numbers['persons'] == 4
        assert numbers['found'] == 0.5
        assert numbers['false-per-image'] == 0.5
        assert numbers['doubles'] == 1
        assert numbers['PCK'] == 1
        # One is right, the other turned round, see above.
        assert numbers['error-3d'] == pytest.approx(150)
        # The mean of both has x = 0, and the same size: y grows for that.
        assert numbers['gain-3d'] == pytest.approx(
            1 - 150 / numbers['mean-pose-error-3d']
        )
        assert 140 < numbers['mean-pose-error-3d'] < 180
