# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Persons who walk are put on the floor that they walk on."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from ground_cases import SOLES, Case, grounded
from walking_persons import (
    SIZE,
    Noise,
    View,
    Walk,
    as_results,
    predicted,
    walk,
)

from aios.ground import Floor, GroundError, ground_sequence, summarize
from aios.ground.grounding import check_floor
from aios.results import SequenceResult
from aios.structures import SMPLX_144


@pytest.fixture(scope='module')
def case() -> Case:
    return grounded(0, View(-15, 1.6, roll=3), 2, 200)


def check(case: Case) -> None:
    assert case.tilt() < 2
    assert case.height_error() < 0.03
    before, after = case.slide(case.before), case.slide(case.after)
    assert before > 30  # there was something to do
    assert after < 10
    assert after < before / 4
    assert case.error(case.after) < 1.02 * case.error(case.before)
    assert case.acceleration_error(case.after) < (
        case.acceleration_error(case.before) / 2
    )


def test_walkers_stand_on_their_floor(case):
    check(case)
    assert case.place_error(case.after) < case.place_error(case.before)


def test_noise_in_the_image_does_not_pull_persons_nearer():
    """Nearer, noise across the ray is less of an acceleration in meters."""
    noise = Noise(jitter=0, sway=0, across=0.003, depth=0, drift=0)
    case = grounded(100, View(-30, 3.0), 2, 150, noise)
    assert abs(case.camera_error()) < 0.03
    assert case.height_error() < 0.03


CAMERAS = [
    *(View(-30, 3.0), View(-30, 1.5), View(-20, 2.5, 5), View(-15, 2.0)),
    *(View(-10, 0.5), View(0, 1.5, -5), View(10, 1.0), View(10, 0.5)),
]


@pytest.mark.slow
@pytest.mark.parametrize('view', CAMERAS, ids=str)
@pytest.mark.parametrize('seed', [1, 2])
def test_all_cameras(view, seed):
    check(grounded(seed, view))


@pytest.mark.slow
@pytest.mark.parametrize('seed', [301, 302])
def test_forty_seconds_tell_how_high_the_camera_is(seed):
    case = grounded(seed, View(-30, 3.0), frames=1200)
    assert abs(case.camera_error()) < 0.03


def test_legs_that_are_not_seen_stay():
    """What the floor would make of them is worse than what was found."""
    case = grounded(405, View(-20, 2.5))
    check(case)
    before, after = case.before, case.after
    frame = before.frame_index
    rows = (before.person_id == 1) & (frame >= 160) & (frame < 200)
    feet = before.joints2d[rows][:, SOLES]
    assert ((feet < 0) | (feet >= SIZE)).any(-1).all()
    np.testing.assert_allclose(
        after.body_pose[rows], before.body_pose[rows], atol=1e-6
    )


def test_what_changes(case):
    before, after = case.before, case.after
    for name in ('global_orient', 'betas', 'K', 'timestamps', 'scores'):
        np.testing.assert_array_equal(
            getattr(before, name), getattr(after, name)
        )
    pose = (after.body_pose - before.body_pose).reshape(-1, 21, 3)
    legs = {
        SMPLX_144.index(f'{side}_{name}') - 1
        for side in ('left', 'right')
        for name in ('hip', 'knee', 'ankle')
    }
    moved = np.flatnonzero(np.abs(pose).max((0, 2)) > 1e-6)
    assert set(moved.tolist()) == legs
    # Legs bend a little.
    assert np.degrees(np.abs(pose).mean((0, 2)).max()) < 3
    pixels = after.joints3d @ after.K[0].T
    np.testing.assert_allclose(
        after.joints2d, pixels[..., :2] / pixels[..., 2:], atol=1e-2
    )


def test_joints_are_those_of_the_parameters(case):
    """Bones that were moved are as the rotations say."""
    from walking_persons import pose

    rows = case.after.person_id == 0
    joints = pose(
        case.after.global_orient[rows],
        case.after.body_pose[rows].reshape(-1, 21, 3),
        case.after.transl[rows],
    )
    np.testing.assert_allclose(case.after.joints3d[rows], joints, atol=1e-4)


def test_report(case):
    report = case.report
    np.testing.assert_allclose(report['floor'], case.after.floor)
    assert report['camera_height_m'] == pytest.approx(1.6, abs=0.06)
    assert report['camera_pitch_deg'] == pytest.approx(-15, abs=2)
    before, after = report['before'], report['after']
    assert set(before) == set(after)
    for name, value in before.items():
        assert after[name] < value / 2, name


def test_saved(case, tmp_path):
    case.after.save(tmp_path / 'params.npz')
    loaded = SequenceResult.load(tmp_path / 'params.npz')
    np.testing.assert_array_equal(loaded.floor, case.after.floor)
    case.before.save(tmp_path / 'before.npz')
    assert SequenceResult.load(tmp_path / 'before.npz').floor is None
    with pytest.raises(ValueError, match='floor must begin with a unit'):
        replace(case.before, floor=[0, 2, 0, 1])
    with pytest.raises(ValueError, match=r'floor must have shape \(4\)'):
        replace(case.before, floor=[0, 1, 0])


def test_a_person_stands_still():
    """Few places of feet: how somebody stands tells what is up."""
    view = View(-20, 2.0)
    person = walk(np.random.default_rng(0), (0, 5), 0.5, 60)
    # Both feet are flat.
    flat = person.joints[:, SOLES, 1].max(1).argmin()
    still = Walk(
        *(
            np.repeat(value[flat : flat + 1], 90, axis=0)
            for value in (
                *(person.root, person.body, person.pelvis, person.stands),
            )
        )
    )
    truth = [view.see(still)]
    rng = np.random.default_rng(1)
    before = as_results([predicted(rng, truth[0], Noise())])
    after, report = ground_sequence(before)
    case = Case(view, truth, before, after, report)
    assert case.tilt() < 6
    assert case.slide(after) < min(10, case.slide(before) / 4)


def test_a_camera_that_looks_straight_down():
    """Depth is height there, and no horizon can be thought of."""
    view, rng = View(-90, 4.0), np.random.default_rng(0)
    starts = ((-0.5, 0.5), 1.0), ((0.5, -0.5), 3.0)
    truth = [view.see(walk(rng, *start, 150, 0.6)) for start in starts]
    before = as_results([predicted(rng, p, Noise()) for p in truth])
    after, report = ground_sequence(before)
    case = Case(view, truth, before, after, report)
    assert case.tilt() < 2
    assert report['camera_pitch_deg'] < -88
    assert report['camera_height_m'] == pytest.approx(4, abs=0.08)
    assert case.slide(after) < case.slide(before) / 4
    assert case.place_error(after) < case.place_error(before) / 2


def test_an_absence_cuts_a_track(case):
    frame = case.before.frame_index
    rows = (case.before.person_id == 1) & (frame > 80) & (frame < 120)
    after, report = ground_sequence(case.before.select(~rows))
    assert report['tracks'] == case.report['tracks'] + 1
    assert len(after) == (~rows).sum()
    assert report['after']['foot_slide_mm'] < 10


def test_rows_behind_the_camera_stay(case):
    persons = case.before
    rows = (persons.person_id == 0) & (persons.frame_index < 30)
    joints, transl = persons.joints3d.copy(), persons.transl.copy()
    joints[rows] -= joints[rows][:, :1]
    transl[rows] = 0
    persons = replace(persons, joints3d=joints, transl=transl)
    after, _ = ground_sequence(persons)
    np.testing.assert_array_equal(after.transl[rows], 0)
    assert (after.transl[~rows] != persons.transl[~rows]).any(1).all()


def test_feet_behind_the_camera_are_not_seen(case):
    """Though their mirrored pixels are inside the image."""
    persons = case.before
    rows = np.flatnonzero(persons.person_id == 1)[50:120]
    joints, pixels = persons.joints3d.copy(), persons.joints2d.copy()
    for sole in SOLES:
        joints[rows, sole, 2] *= -1
        pixels[rows, sole] = 100.0
    behind = replace(persons, joints3d=joints, joints2d=pixels)
    _, report = ground_sequence(behind)
    outside = pixels.copy()
    for sole in SOLES:
        outside[rows, sole] = -100.0
    _, wanted = ground_sequence(replace(behind, joints2d=outside))
    assert report == wanted


class TestRefused:
    def refused(self, persons: SequenceResult, match: str) -> None:
        with pytest.raises(GroundError, match=match):
            ground_sequence(persons)

    def test_no_person(self, case):
        persons = case.before.select(slice(0, 0))
        self.refused(persons, 'contain no persons')

    def test_short(self, case):
        persons = case.before.select_frames(slice(0, 4))
        self.refused(persons, '5 frames in a row')

    def test_behind_the_camera(self, case):
        persons = case.before
        behind = replace(
            persons,
            joints3d=persons.joints3d - persons.joints3d[:, :1],
            transl=0 * persons.transl,
        )
        self.refused(behind, 'in front of the camera')

    def test_images(self, case):
        times = np.zeros(case.before.num_frames)
        self.refused(replace(case.before, timestamps=times), 'no time stamps')

    def test_few_frames_per_second(self, case):
        persons = case.before.select_frames(slice(None, None, 8))
        self.refused(persons, '0.27 seconds apart, .* 0.25')

    def test_zoom(self, case):
        K = case.before.K.copy()
        K[7, 0, 0] *= 1.1
        self.refused(replace(case.before, K=K), 'K of frame 7 .* zoom')

    def test_fitted_cameras_are_one(self, case):
        """Readers of other results fit them to 2-D points, frame by frame."""
        K = case.before.K.copy()
        K[7, :2, 2] += 1e-4
        ground_sequence(replace(case.before, K=K))

    def test_virtual_camera(self, case):
        K = case.before.K.copy()
        K[:, [0, 1], [0, 1]] = 5 * max(SIZE)
        self.refused(replace(case.before, K=K), '5.0 times .*--focal-length')

        virtual = np.full(case.before.num_frames, 'virtual')
        persons = replace(case.before, camera_origin=virtual)
        self.refused(persons, 'virtual camera')

    def test_mixed_frame_rates(self, case):
        times = case.before.timestamps.copy()
        times[100:] += 0.5 * (times[100:] - times[100]) + 1
        self.refused(
            replace(case.before, timestamps=times),
            'frame rate must be constant',
        )

    def test_feet_outside_of_the_image(self, case):
        pixels = case.before.joints2d + [0, 2 * SIZE[1]]
        self.refused(
            replace(case.before, joints2d=pixels), 'feet inside the image'
        )

    def test_no_person_stands(self, case):
        """Somebody who flies."""
        persons = case.before
        away = 2.0 * persons.timestamps[persons.frame_index][:, None]
        away = away * [1, -1, 0]
        flying = replace(
            persons,
            transl=persons.transl + away,
            joints3d=persons.joints3d + away[:, None],
        )
        self.refused(flying, 'feet rest on the floor too rarely')


def test_persons_on_several_levels(case):
    """One floor is theirs who are on it; none, if most are not."""
    walkers = case.before.select_frames(slice(0, 90))

    def lifted(meters):
        away = np.take(meters, walkers.person_id)[:, None]
        away = away * case.view.floor[:3]
        return replace(
            walkers,
            transl=walkers.transl + away,
            joints3d=walkers.joints3d + away[:, None],
        )

    _, report = ground_sequence(lifted([0.0, 1.0]))
    ((person, height),) = report['off_floor_m'].items()
    sign = {'0': -1, '1': 1}[person]
    assert sign * height == pytest.approx(1.0, abs=0.2)
    words = 'over' if sign > 0 else 'below'
    assert f'person {person} is {abs(height):.2f} m {words} the floor' in (
        summarize(report)
    )
    track = SimpleNamespace(
        person=0,
        soles=np.array([[[0.0, y, 4.0]] for y in (1.0, 0.5, 0.4)]),
        seen=np.ones((3, 1), bool),
        below=lambda floor: floor,
    )
    with pytest.raises(GroundError, match='in 67% of the frames feet'):
        check_floor([track], Floor(np.array([0.0, -1.0, 0.0]), 1.0))


def test_bodies_without_parameters_move_as_a_whole(case):
    before = replace(
        case.before,
        body_model='mhr',
        body_pose=np.zeros_like(case.before.body_pose),
        global_orient=np.zeros_like(case.before.global_orient),
        vertices=case.before.joints3d[:, :5],
    )
    after, report = ground_sequence(before, {'type': 'not built'})
    shift = after.joints3d[:, :1] - before.joints3d[:, :1]
    for name in ('joints3d', 'vertices'):
        np.testing.assert_allclose(
            getattr(after, name) - getattr(before, name),
            np.broadcast_to(shift, getattr(after, name).shape),
            atol=1e-5,
        )
    cosine = after.floor[:3] @ case.view.floor[:3]
    assert np.degrees(np.arccos(cosine)) < 2
    assert not after.body_pose.any()
    slide = [report[when]['foot_slide_mm'] for when in ('before', 'after')]
    assert slide[1] < slide[0] / 2
