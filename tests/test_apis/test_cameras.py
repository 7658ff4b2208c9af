# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Cameras of users."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from aios.apis import CameraModel, change_camera, load_intrinsics
from aios.apis.frames import Frame
from aios.results import FrameResult, complete_instances
from aios.structures import Camera

K = np.array([[900.0, 0, 310], [0, 950.0, 260], [0, 0, 1]])
SIZE = (640, 480)


def _frame(K: np.ndarray) -> FrameResult:
    rng = np.random.default_rng(0)
    transl = rng.normal(size=(2, 3)) + (0, 0, 40)
    joints = rng.normal(size=(2, 144, 3)) * 0.3 + transl[:, None]
    persons = complete_instances(
        transl=transl,
        joints3d=joints,
        joints2d=Camera(K, 480, 640).project(joints),
        vertices=joints[:, :5],
    )
    return FrameResult('a', 0, 0.0, K, SIZE, persons)


@pytest.mark.parametrize('suffix', ['.npy', '.npz', '.json', '.txt'])
def test_files(tmp_path: Path, suffix: str):
    path = tmp_path / f'camera{suffix}'
    if suffix == '.npy':
        np.save(path, K)
    elif suffix == '.npz':
        np.savez(path, K=K, width=640, height=480)
    elif suffix == '.json':
        text = json.dumps(dict(K=K.tolist(), width=640, height=480))
        path.write_text(text, 'utf-8-sig')  # as programs of Windows do
    else:
        np.savetxt(path, K)
    matrix, size, distortion = load_intrinsics(path)
    assert distortion is None
    np.testing.assert_allclose(matrix, K)
    assert size == (SIZE if suffix in ('.npz', '.json') else None)
    camera = CameraModel.create(intrinsics=path)
    np.testing.assert_allclose(camera.matrix(SIZE), K)
    # An image of twice the size, by a camera of a known one, has twice K.
    scale = 2 if size else 1
    np.testing.assert_allclose(
        camera.matrix((1280, 960)), np.diag([scale, scale, 1]) @ K
    )


def test_images_of_another_shape_are_refused(tmp_path: Path):
    """Of a phone that was turned, or of a cropped video."""
    path = tmp_path / 'K.json'
    path.write_text(json.dumps(dict(K=K.tolist(), width=640, height=480)))
    camera = CameraModel.create(intrinsics=path)
    for size in ((480, 640), (640, 360)):
        with pytest.raises(ValueError, match=f'640 x 480.*of {size[0]} x'):
            camera.matrix(size)
    camera.matrix((427, 320))  # rounded


@pytest.mark.parametrize(
    ('name', 'content'),
    [
        ('a.txt', '1 2 3'),
        ('a.txt', 'abc'),
        ('a.json', '{"k": []}'),
        ('a.json', '['),
        pytest.param('a.json', '[' * 100_000, id='deep'),
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


BARREL = (-0.3, 0.1, 0.001, -0.002, 0.0)


def test_distortion_is_taken_out_of_images(tmp_path: Path):
    path = tmp_path / 'lens.json'
    lens = dict(K=K.tolist(), width=640, height=480, dist=BARREL)
    path.write_text(json.dumps(lens))
    camera = CameraModel.create(intrinsics=path)
    rays = np.array([[-0.25, 0.1, 1], [0.3, 0.2, 1], [0.1, -0.2, 1.0]])
    still, matrix = np.zeros(3), K.copy()
    matrix[:2, 2] -= 0.5
    seen = cv2.projectPoints(rays, still, still, matrix, np.array(BARREL))[0]
    image = np.zeros((480, 640, 3), np.uint8)
    for x, y in seen[:, 0].round().astype(int):
        image[y - 1 : y + 2, x - 1 : x + 2] = 255
    for scale in (1, 2):  # an image may be a reduction
        part = cv2.resize(image, (640 // scale, 480 // scale))
        straight = camera.undistorted(Frame(0, 'a', part, SIZE))
        assert straight.size == SIZE
        for x, y in Camera(K, 480, 640).project(rays) / scale:
            y, x = int(y), int(x)
            spot = straight.image[y - 1 : y + 2, x - 1 : x + 2]
            assert spot.max() > 100, (scale, x, y)
    plain = CameraModel.create(intrinsics=K)
    frame = Frame(0, 'a', image, SIZE)
    assert plain.undistorted(frame) is frame
    assert camera.undistorted(Frame(0, 'a')).image is None


@pytest.mark.parametrize(
    ('change', 'match'),
    [
        ({'distortion': [0.1, 0.2, 0.3]}, 'undistort images of other lenses'),
        ({'D': [0.1, np.inf, 0, 0]}, 'finite numbers'),
        ({'K': [[9, 1, 3], [0, 9, 3], [0, 0, 1]]}, 'without skew'),
        ({'width': 0, 'height': 480}, 'size'),
    ],
)
def test_other_files_are_refused(tmp_path: Path, change, match):
    path = tmp_path / 'lens.npz'
    dist = {'dist': BARREL} if 'K' in change else {}
    np.savez(path, **({'K': K} | dist | change))
    with pytest.raises(ValueError, match=f'lens.npz.*{match}'):
        load_intrinsics(path)


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


def test_pelvis_stays_in_the_image():
    frame = _frame(Camera.from_focal(7500.0, SIZE).K)
    there = change_camera(frame, K)
    persons, before = there.instances, frame.instances
    np.testing.assert_allclose(
        persons['joints2d'][:, 0], before['joints2d'][:, 0], atol=1e-2
    )
    np.testing.assert_allclose(
        Camera(K, 480, 640).project(persons['joints3d']),
        persons['joints2d'],
        atol=1e-2,
    )
    # Bodies are moved, not changed.
    for name in ('joints3d', 'vertices'):
        moved = persons[name] - before[name]
        shift = (persons['transl'] - before['transl'])[:, None]
        np.testing.assert_allclose(
            moved, np.broadcast_to(shift, moved.shape), atol=2e-5
        )
