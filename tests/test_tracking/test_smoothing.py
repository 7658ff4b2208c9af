# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from aios.body_models import BodyPoser
from aios.results import SMPLX_ARGUMENTS, FrameResult, SequenceResult
from aios.structures import Camera
from aios.tracking import (
    OneEuroSmoother,
    SmoothingOptions,
    sequence_smoothing,
    smooth_sequence,
)

PATHS = [((-1.2, -4.0), (1.2, -4.5)), ((1.3, -6.0), (-1.3, -3.5))]


@pytest.fixture(scope='module')
def truth(walk) -> list[FrameResult]:
    return walk(PATHS, frames=60, seed=1)


@pytest.fixture(scope='module')
def noisy(truth, layer) -> list[FrameResult]:
    """With noise in all parameters; most of that of positions in depth."""
    rng = np.random.default_rng(0)
    return [refreshed(shaken(frame, rng), layer) for frame in truth]


def shaken(frame: FrameResult, rng) -> FrameResult:
    changed = {}
    for name in SMPLX_ARGUMENTS:
        value = frame.instances[name]
        spread = 0.06 if name.endswith(('pose', 'orient')) else 0.3
        changed[name] = value + rng.normal(0, spread, value.shape)
    pelvis = frame.instances['joints3d'][:, 0]
    moved = pelvis * np.exp(rng.normal(0, 0.03, (len(frame), 1)))
    changed['transl'] = frame.instances['transl'] + moved - pelvis
    return frame.with_fields(**changed)


def forward(frame: FrameResult, layer, **options):
    parameters = {
        name: torch.from_numpy(frame.instances[name])
        for name in SMPLX_ARGUMENTS
    }
    with torch.no_grad():
        return layer(**parameters, **options)


def refreshed(frame: FrameResult, layer) -> FrameResult:
    return frame.posed(BodyPoser(layer), with_vertices=False)


def joints(frames) -> np.ndarray:
    return np.stack([frame.instances['joints3d'] for frame in frames])


def trembling(points: np.ndarray) -> float:
    return float(np.square(np.diff(points, 2, axis=0)).mean())


def error(points: np.ndarray, truth: np.ndarray) -> float:
    return float(np.linalg.norm(points - truth, axis=-1).mean())


def smooth_online(frames, layer, **options) -> list[FrameResult]:
    smoother = OneEuroSmoother(body_model=layer, **options)
    return [smoother(frame) for frame in frames]


def smooth_offline(frames, layer) -> list[FrameResult]:
    return list(smooth_sequence(sequence(frames), layer).frames())


def sequence(frames) -> SequenceResult:
    return SequenceResult.from_frames(frames, fps=25.0)


def test_noise_of_a_known_motion_is_reduced(truth, noisy, layer):
    goal, before = joints(truth), joints(noisy)
    online = joints(smooth_online(noisy, layer))
    offline = joints(smooth_sequence(sequence(noisy), layer).frames())
    assert trembling(online) < 0.1 * trembling(before)
    assert trembling(offline) < 2 * trembling(goal) < 0.01 * trembling(before)
    assert error(online, goal) < 0.85 * error(before, goal)
    assert error(offline, goal) < 0.5 * error(before, goal)


def test_a_finished_sequence_does_not_lag(truth, layer):
    """A clean walk: what is left is what the filter itself does."""
    goal = joints(truth)
    online = joints(smooth_online(truth, layer))
    offline = joints(smooth_sequence(sequence(truth), layer).frames())
    assert error(offline, goal) < 0.1 * error(online, goal)


def test_blocks_leave_no_trace(noisy, layer, monkeypatch):
    """Long videos are smoothed in blocks that overlap."""
    whole = smooth_sequence(sequence(noisy), layer)
    for name, count in (('_BLOCK', 10), ('_MARGIN', 40)):
        monkeypatch.setattr(sequence_smoothing, name, count)
    blocks = smooth_sequence(sequence(noisy), layer)
    assert blocks.frame_names.tolist() == whole.frame_names.tolist()
    assert error(blocks.joints3d, whole.joints3d) < 3e-3
    np.testing.assert_array_equal(blocks.betas, whole.betas)


def test_turned_around_for_a_moment(truth, layer):
    """As of persons seen from behind, in single frames."""
    frames = list(truth)
    for number in (10, 30, 31, 50):
        root = Rotation.from_rotvec(frames[number].instances['global_orient'])
        turned = root * Rotation.from_rotvec([0, np.pi, 0])
        frames[number] = frames[number].with_fields(
            global_orient=turned.as_rotvec()
        )
    smooth = smooth_sequence(sequence(frames), layer)
    goal = np.concatenate([f.instances['global_orient'] for f in truth])
    difference = Rotation.from_rotvec(goal).inv() * Rotation.from_rotvec(
        smooth.global_orient
    )
    assert np.degrees(difference.magnitude()).max() < 60


def test_persons_in_the_camera_plane_keep_their_position(truth, layer):
    frames = []
    for number, frame in enumerate(truth[:12]):
        pelvis = frame.instances['joints3d'][:, 0]
        depth = 0.5 - 0.1 * number  # behind the camera at last
        transl = frame.instances['transl'] - pelvis * (0, 0, 1)
        frames.append(frame.with_fields(transl=transl + (0, 0, depth)))
    frames = [refreshed(frame, layer) for frame in frames]
    pelvis = joints(frames)[:, :, 0]
    smooth = joints(smooth_offline(frames, layer))[:, :, 0]
    np.testing.assert_allclose(smooth[5:], pelvis[5:], atol=1e-5)
    np.testing.assert_allclose(smooth[:5], pelvis[:5], atol=0.1)


@pytest.mark.parametrize('smooth', [smooth_online, smooth_offline])
def test_what_does_not_move_is_not_changed(truth, layer, smooth):
    still = sequence(
        [replace(truth[0], name=f.name, timestamp=f.timestamp) for f in truth]
    )
    persons = sequence(smooth(still.frames(), layer))
    np.testing.assert_allclose(persons.joints3d, still.joints3d, atol=2e-5)
    np.testing.assert_allclose(persons.joints2d, still.joints2d, atol=2e-2)
    for name in SMPLX_ARGUMENTS:
        np.testing.assert_allclose(
            getattr(persons, name), getattr(still, name), atol=2e-5
        )


def test_joints2d_do_not_depend_on_the_path(truth, layer):
    """Of a person who stands in the camera plane too."""
    persons = truth[0].instances
    moved = persons['transl'] - persons['joints3d'][:, :1].mean(1) * (0, 0, 1)
    frame = truth[0].with_fields(transl=moved)
    smooth = OneEuroSmoother(body_model=layer)(frame)
    depth = smooth.instances['joints3d'][..., 2]
    assert depth.min() < 0 < depth.max()
    width, height = frame.size
    pixels = Camera(frame.K, height, width).project(
        smooth.instances['joints3d']
    )
    np.testing.assert_array_equal(
        smooth.instances['joints2d'], pixels.astype(np.float32)
    )
    posed = smooth.posed(BodyPoser(layer), with_vertices=False)
    for name in ('joints3d', 'joints2d'):
        np.testing.assert_array_equal(
            posed.instances[name], smooth.instances[name]
        )


@pytest.mark.parametrize('smooth', [smooth_online, smooth_offline])
def test_joints_and_meshes_are_those_of_the_parameters(noisy, layer, smooth):
    frames = [
        frame.with_fields(vertices=forward(frame, layer).vertices.numpy())
        for frame in noisy[:6]
    ]
    for frame in smooth(frames, layer):
        out = forward(frame, layer)
        again = refreshed(frame, layer)
        for name, wanted, tolerance in (
            ('vertices', out.vertices.numpy(), 1e-5),
            ('joints3d', out.joints.numpy(), 1e-5),
            ('joints2d', again.instances['joints2d'], 1e-2),
        ):
            np.testing.assert_allclose(
                frame.instances[name], wanted, atol=tolerance
            )


def test_a_turn_through_pi_leaves_no_trace(truth, layer):
    """The walker looks away from the camera: the root is near pi."""
    roots = np.stack([f.instances['global_orient'][1] for f in truth])
    assert np.linalg.norm(roots, axis=1).max() > 3
    flipped = []
    for t, frame in enumerate(truth):
        root = frame.instances['global_orient']
        length = np.linalg.norm(root, axis=1, keepdims=True)
        other = root * (1 - 2 * np.pi / length) if t % 2 else root
        flipped.append(frame.with_fields(global_orient=other))
    np.testing.assert_allclose(
        joints(smooth_online(flipped, layer)),
        joints(smooth_online(truth, layer)),
        atol=1e-4,
    )


def test_shape_becomes_the_mean_weighted_by_scores(truth, layer):
    frames = []
    for frame, beta, score in zip(truth, (1.0, 4.0), (0.9, 0.3), strict=False):
        betas = np.full((2, 10), beta)
        frames.append(frame.with_fields(betas=betas, scores=np.full(2, score)))
    frames = [refreshed(frame, layer) for frame in frames]
    online = smooth_online(frames, layer)
    assert online[0].instances['betas'][0, 0] == pytest.approx(1)
    assert online[1].instances['betas'][0, 0] == pytest.approx(1.75)
    offline = smooth_sequence(sequence(frames), layer)
    np.testing.assert_allclose(offline.betas, 1.75, rtol=1e-6)
    # The pelvis stays in place while the shape, hence the offset, changes.
    np.testing.assert_allclose(
        online[0].instances['joints3d'][:, 0],
        frames[0].instances['joints3d'][:, 0],
        atol=1e-5,
    )


def test_tracks_before_and_after_a_gap_do_not_mix(noisy, layer):
    gap = [frame.select([1]) for frame in noisy[20:40]]  # 0.8 s
    parts = noisy[:20], [*gap, *noisy[40:]]
    whole = smooth_offline([*parts[0], *parts[1]], layer)
    alone = [f for part in parts for f in smooth_offline(part, layer)]
    for one, other in zip(whole, alone, strict=True):
        if len(one) == 2:
            np.testing.assert_allclose(
                one.instances['body_pose'][0],
                other.instances['body_pose'][0],
                atol=1e-6,
            )


def test_who_comes_back_after_a_gap_starts_anew(truth, layer):
    gap = [frame.select([1]) for frame in truth[10:30]]  # 0.8 s
    back = smooth_online([*truth[:10], *gap, *truth[30:31]], layer)[-1]
    poses = back.instances['body_pose']
    np.testing.assert_allclose(
        poses[0], truth[30].instances['body_pose'][0], atol=1e-5
    )
    assert np.abs(poses[1] - truth[30].instances['body_pose'][1]).max() > 1e-3


def test_persons_are_smoothed_by_id_not_by_row(noisy, layer):
    mixed = [
        frame.select([1, 0] if t % 2 else [0, 1])
        for t, frame in enumerate(noisy)
    ]
    wanted = joints(smooth_online(noisy, layer))
    for t, frame in enumerate(smooth_online(mixed, layer)):
        order = np.argsort(frame.instances['person_id'])
        np.testing.assert_allclose(
            frame.instances['joints3d'][order], wanted[t], atol=1e-6
        )


def test_smoothing_moves_persons_along_the_ray_mostly(truth, noisy, layer):
    """Where in the image somebody is, is known better than how far off."""
    smoothed = smooth_online(noisy, layer)
    pelvis = np.stack([f.instances['joints2d'][:, 0] for f in smoothed])
    goal = np.stack([f.instances['joints2d'][:, 0] for f in truth])
    assert error(pelvis, goal) < 4  # of an image 640 pixels wide


@pytest.mark.parametrize('factor', [5.0, 20.0])
def test_positions_in_the_image_do_not_depend_on_the_focal_length(
    truth, factor
):
    """Persons stay where they are seen, also by the virtual camera."""

    def seen(scale: float) -> np.ndarray:
        smoother, pixels = OneEuroSmoother(25.0), []
        for frame in truth:
            far = np.array([1, 1, scale])
            moved = frame.with_fields(
                joints3d=frame.instances['joints3d'] * far,
                transl=frame.instances['transl'] * far,
            )
            K = frame.K * np.array([[scale, 0, 1], [0, scale, 1], [0, 0, 1]])
            smooth = smoother(replace(moved, K=K))
            pelvis = smooth.instances['joints3d'][:, 0]
            pixels.append(Camera(K, *frame.size[::-1]).project(pelvis))
        return np.stack(pixels)

    np.testing.assert_allclose(seen(factor), seen(1.0), atol=0.01)


def test_images_without_timestamps_use_the_frame_rate(noisy, layer):
    zero = [replace(frame, timestamp=0.0) for frame in noisy[:10]]
    np.testing.assert_allclose(
        joints(smooth_online(zero, layer, fps=25.0)),
        joints(smooth_online(noisy[:10], layer)),
        atol=1e-5,
    )


def test_weaker_options_smooth_less(noisy, layer):
    options = SmoothingOptions()
    weak = replace(options, rotations=replace(options.rotations, beta=5.0))
    assert trembling(
        joints(smooth_online(noisy, layer, options=weak))
    ) > trembling(joints(smooth_online(noisy, layer)))


def test_without_a_body_model_parameters_are_smoothed_all_the_same(
    noisy, layer
):
    bare = OneEuroSmoother(fps=25.0)
    for before, whole in zip(noisy, smooth_online(noisy, layer), strict=True):
        after = bare(before)
        for name in set(SMPLX_ARGUMENTS) - {
            'left_hand_pose',
            'right_hand_pose',
        }:
            np.testing.assert_array_equal(
                after.instances[name], whole.instances[name]
            )
        pelvis = after.instances['joints3d'][:, 0]
        np.testing.assert_allclose(
            pelvis, whole.instances['joints3d'][:, 0], atol=1e-5
        )
        np.testing.assert_allclose(
            after.instances['joints3d'] - pelvis[:, None],
            before.instances['joints3d'] - before.instances['joints3d'][:, :1],
            atol=1e-5,
        )


def test_no_person_there(truth, layer):
    empty = [frame.select([]) for frame in truth[:3]]
    assert [len(f) for f in smooth_online(empty, layer)] == [0, 0, 0]
    assert len(smooth_sequence(sequence(empty), layer)) == 0
    assert len(smooth_sequence(sequence([]), layer)) == 0


def test_wrong_arguments_are_refused(free_body_dir, layer):
    with pytest.raises(ValueError, match='fps must be positive'):
        OneEuroSmoother(fps=0)
    config = dict(
        type='SMPLXLayer', model_path=str(free_body_dir), flat_hand_mean=True
    )
    with pytest.raises(ValueError, match='flat_hand_mean'):
        OneEuroSmoother(body_model=config)
