# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Bodies are bent so that their joints are where keypoints are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from aios.body_models import (
    KeypointTargets,
    NumpySMPLXLayer,
    fit_to_keypoints,
)
from aios.structures import Camera, joint_mapping

SIZE = (640, 480)
CAMERA = Camera.virtual(SIZE[1], SIZE[0])
COCO = joint_mapping('smplx_144', 'coco', approximate=True)
ELBOW, WRIST = 7, 9  # left
# meters away, from a camera whose focal length is 5000 pixels
CAMERAS = np.array([[1 / 20, 0.01, 0.0], [1 / 40, -0.01, 0.005]], np.float32)


@pytest.fixture(scope='module')
def body_model(free_body_dir) -> NumpySMPLXLayer:
    return NumpySMPLXLayer(free_body_dir)


def random_poses(seed: int, angle: float) -> np.ndarray:
    """``(2, 22, 3, 3)`` upright persons who face the camera."""
    rng = np.random.default_rng(seed)
    pose = rng.normal(0, angle, (2, 22, 3)).astype(np.float32)
    turns = Rotation.from_rotvec(pose.reshape(-1, 3)).as_matrix()
    turns = turns.reshape(2, 22, 3, 3)
    turns[:, 0] = np.diag([1.0, -1.0, -1.0]) @ turns[:, 0]
    return turns.astype(np.float32)


def joints_of(body_model, poses: np.ndarray) -> np.ndarray:
    vectors = Rotation.from_matrix(poses.reshape(-1, 3, 3)).as_rotvec()
    vectors = vectors.reshape(2, 22, 3).astype(np.float32)
    body = body_model(
        global_orient=vectors[:, :1],
        body_pose=vectors[:, 1:],
        return_vertices=False,
    )
    return body.joints


def keypoints_of(joints: np.ndarray, camera: np.ndarray) -> np.ndarray:
    """``(2, 17, 2)`` pixels from the center of the image."""
    scale, x, y = camera.T[..., None]
    translation = np.stack((x / scale, y / scale, 1 / scale), -1)
    pixels = CAMERA.project(joints[:, COCO] + translation)
    return pixels - np.divide(SIZE, 2)


@pytest.fixture
def case(body_model):
    """Poses, their joints, and keypoints of poses nearby."""
    truth = random_poses(0, 0.1)
    start = random_poses(0, 0.1)
    change = np.random.default_rng(1).normal(0, 0.15, (2, 22, 3))
    change[:, [3, 6, 7, 8, 9, 10, 11, 13, 14, 20, 21]] = 0  # hardly seen
    turns = Rotation.from_rotvec(change.reshape(-1, 3)).as_matrix()
    start = turns.reshape(2, 22, 3, 3).astype(np.float32) @ start
    moved = CAMERAS * np.array([1.1, 1.2, 0.9], np.float32)
    places = keypoints_of(joints_of(body_model, truth), CAMERAS)
    side = np.ptp(places, axis=1).max(-1)
    targets = KeypointTargets(places, np.full((2, 17), 0.9), side)
    return start, moved, targets


def fit(body_model, start, camera, targets, steps=4):
    joints = joints_of(body_model, start)
    parents = body_model.parents
    return fit_to_keypoints(start, camera, joints, targets, parents, steps)


def distance(body_model, pose, camera, targets) -> np.ndarray:
    """``(2, 17)`` of keypoints, as a share of the box."""
    places = keypoints_of(joints_of(body_model, pose), camera)
    error = np.linalg.norm(places - targets.places, axis=-1)
    return error / targets.side[:, None]


def test_joints_move_to_their_keypoints(body_model, case):
    start, camera, targets = case
    before = distance(body_model, start, camera, targets)
    after = distance(
        body_model, *fit(body_model, start, camera, targets), targets
    )
    assert before.mean() > 0.03
    assert after.mean() < before.mean() / 5
    assert after.mean() < 0.01


def test_more_steps_do_not_move_on(body_model, case):
    start, camera, targets = case
    some, _ = fit(body_model, start, camera, targets, 8)
    more, _ = fit(body_model, start, camera, targets, 16)
    np.testing.assert_allclose(some, more, atol=2e-3)


def test_rotations_stay_rotations(body_model, case):
    pose, _ = fit(body_model, *case)
    unit = np.broadcast_to(np.eye(3), pose.shape)
    np.testing.assert_allclose(pose @ pose.swapaxes(-1, -2), unit, atol=1e-5)
    assert pose.dtype == np.float32


def test_without_keypoints_bodies_stay(body_model, case):
    start, camera, targets = case
    unknown = replace(targets, weights=np.zeros((2, 17)))
    pose, moved = fit(body_model, start, camera, unknown)
    np.testing.assert_allclose(pose, start, atol=1e-6)
    np.testing.assert_allclose(moved, camera, rtol=1e-6)


def test_a_keypoint_far_away_is_not_believed(body_model, case):
    start, camera, targets = case
    places = targets.places.copy()
    places[:, WRIST] += targets.side[:, None]
    wrong = replace(targets, places=places)
    pose, moved = fit(body_model, start, camera, wrong)
    others = np.arange(17) != WRIST
    error = distance(body_model, pose, moved, targets)
    assert error[:, others].mean() < 0.015
    assert error[:, WRIST].max() < 0.2


@pytest.mark.parametrize('what', ['pose', 'camera', 'places', 'weights'])
def test_persons_with_nan_stay_and_others_do_not(body_model, case, what):
    start, camera, targets = case
    joints = joints_of(body_model, start)
    arrays = dict(
        pose=start.copy(),
        camera=camera.copy(),
        places=targets.places.copy(),
        weights=targets.weights.copy(),
    )
    arrays[what][0] = np.nan
    pose, moved = fit_to_keypoints(
        arrays['pose'],
        arrays['camera'],
        joints,
        KeypointTargets(arrays['places'], arrays['weights'], targets.side),
        body_model.parents,
    )
    np.testing.assert_array_equal(pose[0], arrays['pose'][0])
    np.testing.assert_array_equal(moved[0], arrays['camera'][0])
    alone, _ = fit(body_model, start, camera, targets)
    np.testing.assert_allclose(pose[1], alone[1], atol=1e-6)


def test_no_person(body_model):
    pose, camera = fit_to_keypoints(
        np.zeros((0, 22, 3, 3), np.float32),
        np.zeros((0, 3), np.float32),
        np.zeros((0, 144, 3), np.float32),
        KeypointTargets(np.zeros((0, 17, 2)), np.zeros((0, 17)), np.zeros(0)),
        body_model.parents,
    )
    assert pose.shape == (0, 22, 3, 3)
    assert camera.shape == (0, 3)


def test_targets_of_a_network_are_pixels_from_the_center():
    boxes = np.array([[0.5, 0.5, 0.25, 0.5]])
    keypoints = np.full((1, 17, 2), 0.75)
    targets = KeypointTargets.of_network(boxes, keypoints, None, SIZE)
    np.testing.assert_allclose(targets.places[0, 0], [160, 120])
    np.testing.assert_allclose(targets.side, [240])
    assert (targets.weights > 0).all()


def test_doubtful_keypoints_of_a_network_count_less_than_their_share():
    boxes, keypoints = np.full((1, 4), 0.5), np.full((1, 17, 2), 0.5)
    scores = np.linspace(0, 1, 17)[None]
    targets = KeypointTargets.of_network(boxes, keypoints, scores, SIZE)
    np.testing.assert_allclose(targets.weights, scores**2)
