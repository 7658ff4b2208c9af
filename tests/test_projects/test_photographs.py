# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""From candidates to persons, and from persons to pairs of joints."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from script_loader import ROOT, load_script

JUDGE = load_script('projects/free_model/mediapipe_persons.py')
SIZE = (200, 100)


@pytest.fixture
def evaluate(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / 'projects/free_model')
    return load_script('projects/free_model/evaluate_photographs.py')


def candidate(x, score=0.6, seen=17, size=40.0):
    """Somebody whose keypoints lie on a diagonal of a square box."""
    steps = np.linspace(0, size, 17)
    keypoints = np.stack([x + steps, 10 + steps, np.arange(17) < seen], 1)
    return dict(
        score=score,
        bbox=[x, 10.0, x + size, 10 + size],
        keypoints=keypoints.tolist(),
    )


class FakePose:
    """Sees a diagonal in the middle of what it gets, or no person."""

    def __init__(self, sees=True, shift=0.0):
        self.sees, self.shift = sees, shift

    def process(self, image):
        if not self.sees:
            return SimpleNamespace(pose_landmarks=None)
        # Margins are a quarter of the box, and 15 %.
        rows = np.zeros((33, 3))
        steps = np.linspace(0, 1, 17)[:, None]
        low, high = [0.25 / 1.5, 0.15 / 1.3], [1.25 / 1.5, 1.15 / 1.3]
        rows[JUDGE.COCO_17, :2] = (1 - steps) * low + steps * high
        points = [
            SimpleNamespace(x=x + self.shift, y=y, z=z, visibility=0.9)
            for x, y, z in rows
        ]
        landmarks = SimpleNamespace(landmark=points)
        return SimpleNamespace(
            pose_landmarks=landmarks, pose_world_landmarks=landmarks
        )


@pytest.fixture
def judge(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.zeros((*SIZE[::-1], 3), np.uint8))

    def run(pose, *persons):
        image = dict(file='a.png', size=[*SIZE], persons=[*persons])
        return JUDGE.judge_image(pose, image, tmp_path)

    return run


class TestJudge:
    def test_whom_both_see_is_a_person(self, judge):
        image = judge(FakePose(), candidate(80.0))
        (person,) = image['persons']
        assert not image['doubtful']
        # The crop has whole pixels.
        np.testing.assert_allclose(
            np.array(person['keypoints'])[:, :2],
            np.array(candidate(80.0)['keypoints'])[:, :2],
            atol=2,
        )

    @pytest.mark.parametrize(
        'pose', [FakePose(sees=False), FakePose(shift=0.3)]
    )
    def test_whom_one_sees_is_doubtful(self, judge, pose):
        image = judge(pose, candidate(80.0))
        assert not image['persons']
        assert image['doubtful'] == [[80, 10, 120, 50]]

    @pytest.mark.parametrize(('seen', 'count'), [(8, 1), (7, 0)])
    def test_low_scores_need_keypoints_to_be_doubtful(
        self, judge, seen, count
    ):
        image = judge(FakePose(), candidate(80.0, score=0.1, seen=seen))
        assert not image['persons']
        assert len(image['doubtful']) == count

    def test_no_person_is_there_twice(self, judge):
        again = candidate(81.0, score=0.5)
        image = judge(FakePose(), candidate(80.0), again, candidate(20.0))
        assert [p['bbox'][0] for p in image['persons']] == [80, 20]
        assert not image['doubtful']

    def test_parts_of_a_person_are_not_doubtful(self, judge):
        part = candidate(85.0, score=0.1, size=20.0)
        image = judge(FakePose(), candidate(80.0), part)
        assert len(image['persons']) == 1
        assert not image['doubtful']

    def test_crops_end_where_the_image_ends(self):
        box = JUDGE.crop_box(np.array([0.0, 10, 40, 110]), *SIZE)
        assert box == (0, 0, 50, 100)


class TestCompare:
    def test_pairs_of_joints(self, evaluate):
        """Joint ``j`` of ours has x = j, of theirs x = 100 + j."""
        keypoints = np.ones((2, 17, 3))
        keypoints[1, :, 0] = 100 + np.arange(17)
        image = dict(
            size=[200, 200],
            persons=[
                dict(
                    bbox=[x, 0.0, x + 10, 10],
                    keypoints=points.tolist(),
                    joints3d=points.tolist(),
                )
                for x, points in zip((0.0, 50.0), keypoints, strict=True)
            ],
            doubtful=[],
        )
        joints = np.zeros((2, 144, 3))
        joints[..., 0] = np.arange(144)
        persons = dict(
            scores=np.array([0.9, 0.8]),
            bboxes=np.array([[120.0, 0, 130, 10], [50, 0, 60, 10]]),
            joints2d=joints[..., :2],
            joints3d=joints,
        )
        matches, found = evaluate.compare(
            image, SimpleNamespace(instances=persons)
        )
        assert matches.pairs.tolist() == [[1, 1]]
        assert matches.false == 1
        # shoulders, elbows, wrists, hips, knees, ankles, left before right
        assert found['true_3d'][0, :, 0].tolist() == [*range(105, 117)]
        ours = [16, 17, 18, 19, 20, 21, 1, 2, 4, 5, 7, 8]
        assert found['predicted_2d'][0, :, 0].tolist() == ours
        assert found['visible'].all()
