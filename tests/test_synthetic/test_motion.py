# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest

from aios.synthetic import SceneOptions, sample_sequence
from aios.synthetic.bodies import Figure
from aios.synthetic.joint_limits import body_joint_limits
from aios.synthetic.motion import (
    MOTIONS,
    blend_poses,
    foot_locked_path,
    sample_motion,
)
from aios.synthetic.poses import sample_pose

FPS = 30
SOLES = {0: [60, 62], 1: [63, 65]}


def perform(bank, motion, frames):
    figures = [
        Figure('neutral', np.zeros(10), np.zeros(10), motion.pose(t / FPS))
        for t in range(frames)
    ]
    return bank.pose(figures)[1]


@pytest.mark.parametrize('name', list(MOTIONS))
def test_motions_are_smooth_and_within_limits(bank, name):
    low, high = body_joint_limits()
    for seed in range(3):
        motion = sample_motion(np.random.default_rng(seed), name)
        joints = perform(bank, motion, 45)
        speed = np.linalg.norm(np.diff(joints, axis=0), axis=-1) * FPS
        assert speed.max() < 9, 'faster than a hand can move, m/s'
        assert speed.max() > 0.05, 'does not move'
        body = motion.pose(0.7).body_pose
        assert (body >= low - 1e-9).all() and (body <= high + 1e-9).all()


def test_walkers_get_ahead_at_walking_speed(bank):
    for seed in range(3):
        motion = sample_motion(np.random.default_rng(seed), 'walk')
        joints = perform(bank, motion, 60)
        stance = np.array([motion.stance(t / FPS) for t in range(60)])
        path = foot_locked_path(joints, stance)
        speed = path[-1, 1] / 59 * FPS
        assert 0.6 < speed < 1.8
        assert abs(path[-1, 0]) < 0.1


def test_stance_foot_does_not_slide(bank):
    motion = sample_motion(np.random.default_rng(1), 'walk')
    joints = perform(bank, motion, 60)
    stance = np.array([motion.stance(t / FPS) for t in range(60)])
    path = foot_locked_path(joints, stance)
    world = joints[..., [0, 2]] - joints[:, :1, [0, 2]] + path[:, None]
    slide = []
    for t in range(1, 60):
        if stance[t] != stance[t - 1]:
            continue
        points = SOLES[stance[t]]
        low = points[joints[t, points, 1].argmin()]
        slide.append(np.linalg.norm(world[t, low] - world[t - 1, low]))
    # 3 cm/frame is what a foot would slide if the body stood still.
    assert np.median(slide) < 0.006


def test_blending_starts_and_ends_at_its_poses():
    rng = np.random.default_rng(0)
    a, b = sample_pose(rng), sample_pose(rng)
    np.testing.assert_array_equal(
        blend_poses(a, b, 0.0).body_pose, a.body_pose
    )
    np.testing.assert_array_equal(
        blend_poses(a, b, 1.0).body_pose, b.body_pose
    )
    assert blend_poses(a, b, 0.9).posture == b.posture


def test_sequence_keeps_identities_and_floor(bank):
    options = SceneOptions(160, 120, persons=(3, 3))
    scenes = sample_sequence(np.random.default_rng(4), bank, options, 8, FPS)
    assert len(scenes) == 8
    first = scenes[0]
    assert len(first.persons) >= 2
    for scene in scenes:
        assert scene.view is first.view and scene.lighting is first.lighting
        assert scene.outfits == first.outfits
        for now, before in zip(scene.persons, first.persons, strict=True):
            np.testing.assert_array_equal(
                now.body.figure.betas, before.body.figure.betas
            )
            assert abs(now.vertices[:, 1].min()) < 1e-5
    moved = [
        np.abs(a.vertices - b.vertices).max()
        for a, b in zip(scenes[-1].persons, first.persons, strict=True)
    ]
    assert max(moved) > 0.02
