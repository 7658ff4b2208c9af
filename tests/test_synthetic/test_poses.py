# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aios.synthetic.bodies import Figure
from aios.synthetic.hands import HAND_GESTURES, hand_pose, sample_hand_pose
from aios.synthetic.joint_limits import (
    BODY_JOINT_NAMES,
    body_joint_limits,
    clip_body_pose,
    mirror_pose,
)
from aios.synthetic.pose_vocabulary import ARMS, GESTURES, POSTURES
from aios.synthetic.poses import (
    mirror_sample,
    pose_from_names,
    sample_pose,
    solve_second_knee,
)

HEELS = [62, 65]
TIPS = [67, 68, 69, 70]  # left index, middle, ring, pinky


def posed(bank, pose):
    figure = Figure('neutral', np.zeros(10), np.zeros(10), pose)
    vertices, joints = bank.pose([figure])
    return vertices[0], joints[0]


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_sampled_poses_stay_within_the_joint_limits(seed):
    pose = sample_pose(np.random.default_rng(seed))
    low, high = body_joint_limits()
    # A mirrored pose must fit too: limits are symmetric.
    for body in (pose.body_pose, mirror_sample(pose).body_pose):
        assert (body >= low - 1e-9).all() and (body <= high + 1e-9).all()
    assert 0 <= pose.jaw_pose[0] <= 0.35
    for hand in (pose.left_hand_pose, pose.right_hand_pose):
        assert np.abs(hand).max() < 2.0


def test_limits_clip_what_is_outside():
    wild = np.full((21, 3), 9.0)
    _, high = body_joint_limits()
    np.testing.assert_array_equal(clip_body_pose(wild), high)


def test_mirrored_pose_gives_the_mirrored_body(bank):
    pose = pose_from_names(np.random.default_rng(3), 'lunge', 'wave')
    _, joints = posed(bank, pose)
    _, mirrored = posed(bank, mirror_sample(pose))
    names = ['pelvis', *BODY_JOINT_NAMES]
    swap = [
        names.index(
            n.replace('left_', '#')
            .replace('right_', 'left_')
            .replace('#', 'right_')
        )
        for n in names
    ]
    expected = joints[:22][swap] * [-1, 1, 1]
    np.testing.assert_allclose(mirrored[:22], expected, atol=2e-3)


def test_vocabulary_is_complete():
    for name, gesture in GESTURES.items():
        for arm in (gesture.left, gesture.right):
            assert arm == '' or arm in ARMS, name
        assert set(gesture.postures) <= set(POSTURES), name
    for name, arm in ARMS.items():
        assert set(arm.hands) <= set(HAND_GESTURES), name


def test_unknown_names_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(KeyError):
        pose_from_names(rng, 'fly', 'relaxed')
    with pytest.raises(KeyError):
        sample_hand_pose(rng, 'wave')


def test_seats_can_be_excluded():
    rng = np.random.default_rng(0)
    drawn = {sample_pose(rng, allow_seats=False).posture for _ in range(300)}
    assert not any(POSTURES[name].seat for name in drawn)
    assert {'stand', 'walk', 'crouch'} <= drawn


@pytest.mark.parametrize('posture', ['stand', 'wide', 'half_squat', 'sit'])
def test_both_feet_reach_the_floor(bank, posture):
    for seed in range(4):
        pose = pose_from_names(np.random.default_rng(seed), posture, 'relaxed')
        vertices, joints = posed(bank, pose)
        above = joints[HEELS, 1] - vertices[:, 1].min()
        assert (above < 0.08).all(), above


@settings(deadline=None, max_examples=100)
@given(st.floats(-0.3, 0.8), st.floats(0.0, 1.0), st.floats(-0.3, 0.8))
def test_second_knee_levels_the_ankles(thigh, knee, other):
    second = solve_second_knee(thigh, knee, other)

    def reach(a, k):
        return np.cos(a) + 1.04 * np.cos(k - a)

    assert 0 <= second <= 2.4
    # Knees do not bend backwards, so a leg behind may stay too short.
    longest = reach(other, max(0.0, other))
    if reach(thigh, knee) <= longest - 1e-6 and second < 2.4:
        assert reach(other, second) == pytest.approx(
            reach(thigh, knee), abs=1e-6
        )


def test_fist_closes_and_mirrors(bank):
    rng = np.random.default_rng(0)
    pose = pose_from_names(rng, 'stand', 'relaxed')

    def reach(gesture):
        shape = HAND_GESTURES[gesture]
        _, joints = posed(bank, replace(pose, left_hand_pose=hand_pose(shape)))
        return np.linalg.norm(joints[TIPS] - joints[20], axis=1)

    assert (reach('fist') < 0.75 * reach('flat')).all()
    left = hand_pose(HAND_GESTURES['point'])
    np.testing.assert_array_equal(
        hand_pose(HAND_GESTURES['point'], left=False), mirror_pose(left)
    )
