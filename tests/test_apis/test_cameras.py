# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Cameras of users."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from aios.apis import CameraModel, change_camera, load_intrinsics
from aios.results import FrameResult, complete_instances
from aios.structures import Camera, convert_virtual_camera

K = np.array([[900.0, 0, 310], [0, 950.0, 260], [0, 0, 1]])
SIZE = (640, 480)


def _frame(K: np.ndarray) -> FrameResult:
    rng = np.random.default_rng(0)
    transl = rng.normal(size=(2, 3)) + (0, 0, 40)
    joints = rng.normal(size=(2, 144, 3)) * 0.3 + transl[:, None]
    people = complete_instances(
        transl=transl,
        joints3d=joints,
        joints2d=Camera(K, 480, 640).project(joints),
        vertices=joints[:, :5],
    )
    return FrameResult('a', 0, 0.0, K, SIZE, people)


@pytest.mark.parametrize('suffix', ['.npy', '.npz', '.json', '.txt'])
def test_files(tmp_path: Path, suffix: str):
    path = tmp_path / f'camera{suffix}'
    if suffix == '.npy':
        np.save(path, K)
    elif suffix == '.npz':
        np.savez(path, K=K, width=640, height=480)
    elif suffix == '.json':
        path.write_text(json.dumps(dict(K=K.tolist(), width=640, height=480)))
    else:
        np.savetxt(path, K)
    matrix, size = load_intrinsics(path)
    np.testing.assert_allclose(matrix, K)
    assert size == (SIZE if suffix in ('.npz', '.json') else None)
    camera = CameraModel.create(intrinsics=path)
    np.testing.assert_allclose(camera.matrix(SIZE), K)
    # A picture of twice the size, by a camera of a known one, has twice K.
    scale = 2 if size else 1
    np.testing.assert_allclose(
        camera.matrix((1280, 960)), np.diag([scale, scale, 1]) @ K
    )


@pytest.mark.parametrize(
    ('name', 'content'),
    [
        ('a.txt', '1 2 3'),
        ('a.txt', 'abc'),
        ('a.json', '{"k": []}'),
        ('a.json', '['),
        ('a.npy', 'no array'),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: str):
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ValueError, match=name):
        load_intrinsics(path)
    with pytest.raises(FileNotFoundError):
        load_intrinsics(tmp_path / 'absent.npz')


@pytest.mark.parametrize(
    'options',
    [
        {'focal_length': 0.0},
        {'focal_length': np.nan},
        {'fov': 180.0},
        {'fov': 60.0, 'focal_length': 5.0},
        {'intrinsics': np.zeros((3, 3))},
        {'intrinsics': np.eye(2)},
    ],
)
def test_nonsense(options: dict):
    with pytest.raises(ValueError):
        CameraModel.create(**options)


def test_nothing_known():
    assert CameraModel().matrix(SIZE) is None


def test_change_and_back():
    frame = _frame(Camera.from_focal(7500.0, SIZE).K)
    there = change_camera(frame, K)
    back = change_camera(there, frame.K)
    for name, value in frame.instances.items():
        np.testing.assert_allclose(
            back.instances[name], value, atol=2e-2 if '2d' in name else 2e-4
        )


def test_pelvis_stays_in_the_picture():
    frame = _frame(Camera.from_focal(7500.0, SIZE).K)
    there = change_camera(frame, K)
    people, before = there.instances, frame.instances
    np.testing.assert_allclose(
        people['joints2d'][:, 0], before['joints2d'][:, 0], atol=1e-2
    )
    np.testing.assert_allclose(
        Camera(K, 480, 640).project(people['joints3d']),
        people['joints2d'],
        atol=1e-2,
    )
    # Bodies are moved, not changed.
    for name in ('joints3d', 'vertices'):
        moved = people[name] - before[name]
        shift = (people['transl'] - before['transl'])[:, None]
        np.testing.assert_allclose(
            moved, np.broadcast_to(shift, moved.shape), atol=2e-5
        )


def test_formula_of_the_docs():
    """With the pelvis at the origin, and one focal length."""
    frame = _frame(Camera.from_focal(7500.0, SIZE).K)
    joints = frame.instances['joints3d'].copy()
    joints[:, 0] = frame.instances['transl']
    frame = frame.with_fields(joints3d=joints)
    target = Camera.from_focal(800.0, SIZE, (300.0, 250.0)).K
    there = change_camera(frame, target)
    expected = convert_virtual_camera(
        frame.instances['transl'], 7500.0, 800.0, (320, 240), (300, 250)
    )
    np.testing.assert_allclose(
        there.instances['transl'], expected, rtol=1e-4, atol=1e-4
    )
