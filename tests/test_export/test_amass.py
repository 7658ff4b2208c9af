# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""AMASS files, read by the keys that other programs read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from aios.body_models import SMPLXLayer
from aios.export import write_amass
from aios.results import SequenceResult
from aios.tracking import fill_gaps

ROBOT_KEYS = {
    'pose_body': (63,),
    'root_orient': (3,),
    'trans': (3,),
}
BLENDER_KEYS = {'poses': (165,), 'trans': (3,)}
# holosoma-retargeting of PyPI, which reads the release for SMPL-X.
HOLOSOMA_KEYS = ROBOT_KEYS | {
    'pose_jaw': (3,),
    'pose_eye': (6,),
    'pose_hand': (90,),
}


@pytest.fixture(scope='module')
def flat(free_body_dir: Path) -> SMPLXLayer:
    """The body model as the readers make it: nothing is added to hands."""
    return SMPLXLayer(free_body_dir, flat_hand_mean=True).eval()


def read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    count = len(arrays['poses'])
    for name, shape in (HOLOSOMA_KEYS | BLENDER_KEYS).items():
        assert arrays[name].shape == (count, *shape), name
    parts = ('root_orient', 'pose_body', 'pose_jaw', 'pose_eye', 'pose_hand')
    np.testing.assert_array_equal(
        np.hstack([arrays[name] for name in parts]), arrays['poses']
    )
    assert arrays['betas'].shape == (arrays['num_betas'],) == (16,)
    assert not arrays['betas'][10:].any()
    assert str(arrays['gender']) == 'neutral'
    rates = arrays['mocap_frame_rate'].item(), arrays['mocap_framerate'].item()
    assert rates[0] == rates[1]
    return arrays


def pose(flat: SMPLXLayer, arrays, names: dict[str, slice]) -> torch.Tensor:
    """Vertices ``(T, V, 3)`` of a file, from some parts of ``poses``."""
    poses = torch.from_numpy(arrays['poses'])
    count = len(poses)
    with torch.no_grad():
        body = flat(
            betas=torch.from_numpy(arrays['betas'][:10]).expand(count, -1),
            expression=torch.from_numpy(arrays['expression']),
            transl=torch.from_numpy(arrays['trans']),
            **{name: poses[:, part] for name, part in names.items()},
        )
    return body.vertices.numpy()


BLENDER_ORDER = {
    'global_orient': slice(0, 3),
    'body_pose': slice(3, 66),
    'jaw_pose': slice(66, 69),
    'leye_pose': slice(69, 72),
    'reye_pose': slice(72, 75),
    'left_hand_pose': slice(75, 120),
    'right_hand_pose': slice(120, 165),
}


def z_up(points: np.ndarray) -> np.ndarray:
    """OpenCV's x right, y down, z forward as x right, y forward, z up."""
    return np.stack([points[..., 0], points[..., 2], -points[..., 1]], axis=-1)


def ours(persons: SequenceResult, layer: SMPLXLayer, rows) -> np.ndarray:
    with torch.no_grad():
        body = layer(**persons.smplx_parameters(rows))
    return z_up(body.vertices.numpy())


def test_vertices_are_ours(dancers, layer, flat, tmp_path) -> None:
    path = tmp_path / 'new/one.npz'
    persons = dancers.select_frames(slice(6))
    assert write_amass(persons, layer, path, 3) == 0
    arrays = read(path)
    assert len(arrays['poses']) == 6
    assert arrays['mocap_frame_rate'] == 25
    assert not arrays['interpolated'].any()
    rows = np.flatnonzero(persons.person_id == 3)
    wanted = ours(persons, layer, rows)
    found = pose(flat, arrays, BLENDER_ORDER)
    assert np.linalg.norm(found - wanted, axis=-1).max() < 1e-4
    # Somebody upright in front of the camera is upright, and in front.
    assert found[..., 1].mean() == pytest.approx(6, abs=1)


@pytest.mark.parametrize('pitch', [-30, 10, -90])
def test_the_floor_is_at_zero(dancers, layer, flat, tmp_path, pitch) -> None:
    """Up and height are those of the floor, whatever the camera does."""
    cos, sin = np.cos(np.radians(pitch)), np.sin(np.radians(pitch))
    up = np.array([0, -cos, sin])
    persons = replace(dancers.select_frames(slice(6)), floor=[*up, 1.7])
    write_amass(persons, layer, tmp_path / 'one.npz', 3)
    found = pose(flat, read(tmp_path / 'one.npz'), BLENDER_ORDER)
    rows = persons.person_id == 3
    with torch.no_grad():
        seen = layer(**persons.smplx_parameters(rows)).vertices.numpy()
    # Forward is ahead of the camera; for one that looks down, up in its image.
    ahead = np.array([0, sin, cos]) if pitch > -90 else np.array([0, -1.0, 0])
    right = np.array([1.0, 0, 0])
    wanted = seen @ np.stack([right, ahead, up], axis=1) + [0, 0, 1.7]
    assert np.linalg.norm(found - wanted, axis=-1).max() < 1e-4


def test_gaps_are_filled_and_marked(dancers, layer, flat, tmp_path) -> None:
    """Person 8 is in the frames 1, 2, 4, 5 and 7."""
    path = tmp_path / 'other.npz'
    assert write_amass(dancers, layer, path, 8) == 2
    arrays = read(path)
    marks = [False, False, True, False, False, True, False]
    assert arrays['interpolated'].tolist() == marks
    assert arrays['first_frame'] == 1
    rows = np.flatnonzero(dancers.person_id == 8)
    filled = tmp_path / 'filled.npz'
    assert write_amass(fill_gaps(dancers, layer), layer, filled, 8) == 2
    assert read(filled)['interpolated'].tolist() == marks
    wanted = ours(dancers, layer, rows)
    found = pose(flat, arrays, BLENDER_ORDER)
    kept = ~arrays['interpolated']
    assert np.linalg.norm(found[kept] - wanted, axis=-1).max() < 1e-4
    half = (arrays['trans'][1] + arrays['trans'][3]) / 2
    np.testing.assert_allclose(arrays['trans'][2], half, atol=1e-5)
    root = Rotation.from_rotvec(arrays['root_orient'][1:4])
    steps = (root[1:] * root[:-1].inv()).magnitude()
    assert steps[0] == pytest.approx(steps[1], abs=1e-3)


def test_rate_that_changes(dancers, layer, tmp_path) -> None:
    """A slot between two frames is not missing, a gap of the person is."""
    times = np.array([0, 1, 3, 4, 5, 6, 7, 8, 9])
    uneven = replace(dancers, timestamps=times / 30)
    path = tmp_path / 'uneven.npz'
    assert write_amass(uneven, layer, path, 8) == 2
    arrays = read(path)
    assert arrays['mocap_frame_rate'] == pytest.approx(30)
    assert arrays['first_frame'] == 1
    marks = [False, False, False, True, False, False, True, False]
    assert arrays['interpolated'].tolist() == marks
    write_amass(dancers, layer, tmp_path / 'even.npz', 8)
    even = read(tmp_path / 'even.npz')
    for name in ('trans', 'poses', 'expression'):
        np.testing.assert_allclose(
            arrays[name][[0, 2, 4, 5, 7]],
            even[name][[0, 1, 3, 4, 6]],
            atol=1e-6,
        )
    middle = (even['trans'][0] + even['trans'][1]) / 2
    np.testing.assert_allclose(arrays['trans'][1], middle, atol=1e-6)


def test_a_changing_shape_keeps_the_pelvis(dancers, layer, tmp_path) -> None:
    """The file has one shape; the place is that of each frame."""
    rows = np.flatnonzero(dancers.person_id == 3)
    rng = np.random.default_rng(1)
    betas = rng.normal(size=dancers.betas.shape).astype(np.float32)
    changing = replace(dancers, betas=betas)
    write_amass(changing, layer, tmp_path / 'one.npz', 3)
    arrays = read(tmp_path / 'one.npz')
    np.testing.assert_allclose(
        arrays['betas'][:10], betas[rows].mean(0), atol=1e-6
    )
    with torch.no_grad():
        body = layer(**changing.smplx_parameters(rows), joint_set='smplx_55')
        rest = layer(
            betas=torch.from_numpy(arrays['betas'][None, :10]),
            joint_set='smplx_55',
        )
    # The root does not move the pelvis, so trans alone places it.
    kept = ~arrays['interpolated']
    pelvis = arrays['trans'][kept] + rest.joints[0, 0].numpy()
    np.testing.assert_allclose(
        pelvis, z_up(body.joints[:, 0].numpy()), atol=1e-5
    )


def test_frame_rates(dancers, layer, tmp_path) -> None:
    path = tmp_path / 'one.npz'
    every_other = dancers.select_frames([0, 2, 4, 8])  # 6 could not be read
    assert write_amass(every_other, layer, path, 3) == 1
    assert read(path)['mocap_frame_rate'] == 12.5
    assert read(path)['interpolated'].tolist() == [False] * 3 + [True, False]
    zero = np.zeros(dancers.num_frames)
    images = replace(
        dancers, timestamps=zero, source_frames=zero.astype(int), fps=0.0
    )
    write_amass(images, layer, path, 3, overwrite=True)
    assert read(path)['mocap_frame_rate'] == 30
    write_amass(images, layer, path, 3, fps=5, overwrite=True)
    assert read(path)['mocap_frame_rate'] == 5


def test_refusals(dancers, layer, tmp_path) -> None:
    path = tmp_path / 'one.npz'
    path.write_text('precious')
    with pytest.raises(FileExistsError, match=r'one\.npz'):
        write_amass(dancers, layer, path, 3)
    with pytest.raises(ValueError, match=r'no person with id 5.*\[3, 8\]'):
        write_amass(dancers, layer, path, 5, overwrite=True)
    with pytest.raises(ValueError, match='fps must be positive'):
        write_amass(dancers, layer, path, 3, fps=0, overwrite=True)
    numbers = dancers.source_frames.copy()
    numbers[-1] = 10**12
    far = replace(dancers, source_frames=numbers, timestamps=numbers / 25)
    with pytest.raises(ValueError, match='person 3: source_frames span'):
        write_amass(far, layer, path, 3, overwrite=True)
    assert path.read_text() == 'precious'
