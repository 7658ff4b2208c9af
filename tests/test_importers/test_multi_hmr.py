# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Dictionaries of Multi-HMR, made of bodies whose parameters are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aios.body_models import BodyPoser
from aios.importers import ReadingOptions
from aios.importers.importer import posed_instances
from aios.results import SMPLX_ARGUMENTS
from aios.structures import Camera

CAMERA = Camera(
    np.array([[776.0, 0, 448], [0, 776, 448], [0, 0, 1]]), 896, 896
)


@pytest.fixture(scope='module')
def body(poser: BodyPoser) -> dict[str, np.ndarray]:
    """Parameters of two persons, hands relative to the mean hand."""
    rng = np.random.default_rng(1)
    given = {
        name: 0.3 * rng.normal(size=(2, size))
        for name, size in SMPLX_ARGUMENTS.items()
        if 'eye' not in name
    }
    given['transl'] = np.array([[-0.5, 0, 4], [0.6, 0.1, 5]])
    return given


@pytest.fixture(scope='module')
def humans(body, poser: BodyPoser) -> list[dict[str, Any]]:
    posed = poser(body)
    mean = np.asarray(poser.layer().hand_mean).reshape(2, 45)
    hands = {
        'left_hand_pose': body['left_hand_pose'] + mean[0],
        'right_hand_pose': body['right_hand_pose'] + mean[1],
    }
    order = ('global_orient', 'body_pose', 'left_hand_pose',
             'right_hand_pose', 'jaw_pose')  # fmt: skip
    turns = np.concatenate([(body | hands)[n] for n in order], axis=1)
    return [
        {
            'scores': np.float32(0.5 + row / 4),
            'rotvec': turns[row].reshape(53, 3),
            'shape': body['betas'][row],
            'expression': body['expression'][row],
            'transl_pelvis': posed.joints[row, :1],
            'v3d': posed.vertices[row],
            'j3d': posed.joints[row, :127],
            'j2d': CAMERA.project(posed.joints[row, :127]),
        }
        for row in range(2)
    ]


def test_parameters_come_back(humans, body, poser, read) -> None:
    persons, remarks = read('multihmr', humans)
    assert remarks == []
    for name, values in body.items():
        np.testing.assert_allclose(
            getattr(persons, name), values, atol=2e-5, err_msg=name
        )
    posed = poser(body)
    np.testing.assert_allclose(persons.joints3d, posed.joints, atol=2e-5)
    np.testing.assert_allclose(persons.vertices, posed.vertices, atol=1e-6)
    np.testing.assert_allclose(persons.K[0], CAMERA.K, atol=0.1)
    assert persons.image_sizes.tolist() == [[896, 896]]
    assert persons.scores.tolist() == [0.5, 0.75]


def test_camera_of_the_options(humans, read) -> None:
    """Without 2-D points; the field of view is 60 degrees by default."""
    one = {n: v for n, v in humans[0].items() if n != 'j2d'}
    persons, _ = read('multihmr', one, image_size=(1000, 500))
    assert persons.K[0, 0, 0] == pytest.approx(500 * 3**0.5)
    assert persons.K[0, :2, 2].tolist() == [500, 250]
    assert persons.camera_origin.tolist() == ['unknown']
    # The network sees a square around the image.
    persons, _ = read('multihmr', one, image_size=(500, 1000))
    assert persons.K[0, 0, 0] == pytest.approx(500 * 3**0.5)
    assert persons.K[0, :2, 2].tolist() == [250, 500]
    persons, _ = read('multihmr', one, image_size=(1000, 500), fov=90)
    assert persons.camera_origin.tolist() == ['user']
    assert persons.K[0, 0, 0] == pytest.approx(500)
    with pytest.raises(ValueError, match='set --image-size and --fov'):
        read('multihmr', one)
    with pytest.raises(ValueError, match='fov must be between 0 and 180'):
        ReadingOptions(fov=180)


def test_boxes_of_persons_partly_behind_the_camera(poser) -> None:
    """Pixels of joints behind it are mirrored."""
    pelvis = np.array([[0, 0, 0.1], [0, 0, -9.0]])
    lying = {'global_orient': np.tile([np.pi / 2, 0, 0], (2, 1))}
    persons = posed_instances(poser, pelvis, CAMERA, lying)
    ahead = persons['joints3d'][0, :, 2] > 0
    assert 0 < ahead.sum() < 144
    seen = persons['joints2d'][0, ahead]
    np.testing.assert_array_equal(
        persons['bboxes'], [[*seen.min(0), *seen.max(0)], [0] * 4]
    )


def test_frames_without_persons(humans, read) -> None:
    """They have the camera of a neighbor, also before the first person."""
    persons, _ = read('multihmr', [[], humans[:1], []])
    assert persons.frame_index.tolist() == [1]
    np.testing.assert_allclose(persons.K, np.stack([CAMERA.K] * 3), atol=0.1)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (lambda humans: [[], [], []], 'contains no persons'),
        # What is missing is named before options that would not help.
        (
            lambda humans: [{n: humans[0][n] for n in ('v3d', 'scores')}],
            "person 0: has no field 'rotvec'; fields",
        ),
        (
            lambda humans: np.stack([human['v3d'] for human in humans]),
            'list of persons or of frames',
        ),
    ],
)
def test_what_is_refused(humans, read, content, message) -> None:
    with pytest.raises(ValueError, match=message):
        read('multihmr', content(humans))
