# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""AMASS files become persons in front of a camera, and files again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aios.body_models import SMPLXLayer
from aios.export import write_amass
from aios.results import SMPLX_ARGUMENTS


def draw(count: int, size: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(2)
    poses = 0.2 * rng.normal(size=(count, size))
    poses[:, 0] += np.pi / 2  # z up
    return {
        'poses': poses,
        'trans': np.array([3, -2, 1]) + 0.1 * rng.normal(size=(count, 3)),
        'betas': rng.normal(size=16),
        'gender': np.array('female'),
        'mocap_frame_rate': np.array(60.0),
    }


@pytest.fixture
def motion() -> dict[str, np.ndarray]:
    return draw(5, 165)


@pytest.fixture
def save(read, tmp_path):
    """Function that reads a motion with more fields from its file."""

    def run(motion, **more):
        np.savez(tmp_path / 'x.npz', **motion, **more)
        return read('amass', tmp_path / 'x.npz')

    return run


def test_there_and_back(motion, read, layer: SMPLXLayer, tmp_path) -> None:
    np.savez(tmp_path / 'walk.npz', **motion)
    persons, remarks = read('amass', tmp_path / 'walk.npz')
    assert (persons.fps, persons.gender) == (60, 'female')
    assert len(remarks) == 2
    write_amass(persons, layer, tmp_path / 'again.npz', 0)
    again = np.load(tmp_path / 'again.npz')
    np.testing.assert_allclose(again['poses'], motion['poses'], atol=1e-5)
    np.testing.assert_allclose(again['betas'][:10], motion['betas'][:10])
    # The camera is somewhere; the floor is where it was.
    moved = again['trans'] - motion['trans']
    np.testing.assert_allclose(moved, np.tile(moved[0], (5, 1)), atol=1e-5)
    assert moved[0, 2] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize('floor', [None, [0, -0.8, -0.6, 1.7]])
def test_own_files_say_whether_they_have_a_floor(
    motion, read, layer, tmp_path, floor
) -> None:
    """Without one, z = 0 is the height of the camera."""
    np.savez(tmp_path / 'walk.npz', **motion)
    persons, remarks = read('amass', tmp_path / 'walk.npz')
    assert persons.floor is not None
    assert remarks[0] == (
        'the camera is virtual; the floor is z = 0 of the file'
    )
    write_amass(replace(persons, floor=floor), layer, tmp_path / 'own.npz', 0)
    again, remarks = read('amass', tmp_path / 'own.npz')
    assert (again.floor is None) == (floor is None)
    assert ('floor' in remarks[0]) == (floor is not None)


def test_all_persons_is_seen(motion, read, tmp_path) -> None:
    for number in range(2):
        motion['trans'] = motion['trans'] + [8 * number, 3, 0]
        motion['first_frame'] = np.array(3 * number)
        np.savez(tmp_path / f'person_{9 + number}.npz', **motion)
    persons, _ = read('amass', tmp_path)
    assert persons.num_frames == 8
    assert persons.frame_index.tolist() == [0, 1, 2, 3, 3, 4, 4, 5, 6, 7]
    assert persons.person_id.tolist() == [0, 0, 0, 0, 1, 0, 1, 1, 1, 1]
    assert ((persons.joints2d > 0) & (persons.joints2d < (1920, 1080))).all()


def test_other_sets_of_keys(motion, save) -> None:
    whole, _ = save(motion)
    poses = motion.pop('poses')
    robots, _ = save(
        motion,
        root_orient=poses[:, :3], pose_body=poses[:, 3:66],
    )  # fmt: skip
    np.testing.assert_array_equal(robots.body_pose, whole.body_pose)
    ends = {'root_orient': 3, 'pose_body': 66, 'pose_jaw': 69, 'pose_eye': 75}
    split = np.split(poses, [*ends.values()], axis=1)
    parts = dict(zip([*ends, 'pose_hand'], split, strict=True))
    again, _ = save(motion, **parts)
    for name in SMPLX_ARGUMENTS:
        np.testing.assert_array_equal(
            getattr(again, name), getattr(whole, name)
        )
    del parts['pose_eye']
    with pytest.raises(ValueError, match='eyes must be given together'):
        save(motion, **parts)
    parts = {'root_orient': poses[:, :3], 'pose_body': poses[1:, 3:66]}
    with pytest.raises(ValueError, match=r"'root_orient': 5, 'pose_body': 4"):
        save(motion, **parts)
    hands = np.delete(poses, np.r_[66:75], axis=1)
    smplh, remarks = save(motion, poses=hands)
    np.testing.assert_array_equal(smplh.left_hand_pose, whole.left_hand_pose)
    assert not smplh.betas.any() and 'not those of SMPL-X' in remarks[1]


def test_shapes_of_another_model(motion, save) -> None:
    """Files of bodies alone look the same for SMPL, SMPL-H and SMPL-X."""
    motion['poses'] = motion['poses'][:, :66]
    own, _ = save(motion, surface_model_type='smplx')
    assert own.betas.any()
    other, remarks = save(motion, surface_model_type=b'smplh')
    assert not other.betas.any() and 'not those of SMPL-X' in remarks[1]


def test_more_shape_coefficients(motion, save) -> None:
    persons, remarks = save(motion | {'betas': np.arange(16.0)})
    np.testing.assert_array_equal(persons.betas[0], np.arange(10.0))
    assert 'only the first ten shape' in remarks[1]
    _, remarks = save(motion | {'betas': np.r_[np.arange(10.0), np.zeros(6)]})
    assert len(remarks) == 1


def test_more_expression_coefficients(motion, save) -> None:
    values = np.arange(5 * 50).reshape(5, 50) / 100
    persons, _ = save(motion, expression=values)
    np.testing.assert_allclose(persons.expression, values[:, :10], atol=1e-6)


@pytest.mark.parametrize(
    'changed, message',
    [
        ({'poses': np.zeros((5, 72))}, r'poses must have shape \(-1, 66\) or'),
        ({'trans': np.zeros((4, 3))}, r'trans must have shape \(5, 3\)'),
        ({'gender': np.array('robot')}, "gender must be .* got 'robot'"),
        ({'mocap_frame_rate': np.array(0)}, 'mocap_frame_rate must be pos'),
        ({'first_frame': np.array(1e12)}, r'first_frame must be in 0\.\.1000'),
        ({'poses': np.zeros((0, 165))}, r'x\.npz: contains no frames'),
    ],
)
def test_what_is_refused(changed, message, motion, save) -> None:
    with pytest.raises(ValueError, match=message):
        save(motion | changed)


def test_foreign_file(motion, save) -> None:
    del motion['poses']
    with pytest.raises(ValueError, match='neither poses nor root_orient'):
        save(motion)


def test_rates(motion, read, tmp_path) -> None:
    np.savez(tmp_path / 'a.npz', **motion)
    persons, remarks = read('amass', tmp_path / 'a.npz', fps=30)
    assert persons.fps == 60
    assert 'the frame rate is that of the file, 60' in remarks
    del motion['mocap_frame_rate']
    np.savez(tmp_path / 'b.npz', **motion)
    with pytest.raises(ValueError, match=r'no field mocap_frame_rate; set'):
        read('amass', tmp_path / 'b.npz')
    with pytest.raises(
        ValueError, match=r'b\.npz: rate is 30, but 60.0 in a\.npz'
    ):
        read('amass', tmp_path, fps=30)
