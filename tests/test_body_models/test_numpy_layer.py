# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""NumPy poses bodies as PyTorch does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from aios.body_models import (
    BodyPoser,
    NumpySMPLXLayer,
    SMPLXLayer,
)
from aios.structures import POSE_JOINTS, axis_angle_to_matrix

SIZES = dict(betas=10, expression=10, transl=3)


@pytest.fixture(scope='module', params=['free', 'random'])
def layers(
    request: pytest.FixtureRequest, free_body_dir: Path, random_body: Path
) -> tuple[SMPLXLayer, NumpySMPLXLayer]:
    """Sparse and dense pose correctives."""
    path = free_body_dir if request.param == 'free' else random_body
    return SMPLXLayer(path), NumpySMPLXLayer(path, chunk_size=2)


def persons(count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = SIZES | {name: 3 * n for name, n in POSE_JOINTS.items()}
    return {
        name: rng.normal(0, 0.5, (count, size)).astype(np.float32)
        for name, size in sizes.items()
    }


def compare(layers: tuple, parameters: dict, **options) -> None:
    reference, layer = layers
    found = layer(**parameters, **options)
    with torch.no_grad():
        expected = reference(
            **{k: torch.as_tensor(v) for k, v in parameters.items()},
            **options,
        )
    assert found.joint_set == expected.joint_set
    np.testing.assert_allclose(found.joints, expected.joints, atol=1e-5)
    if expected.vertices is None:
        assert found.vertices is None
    else:
        np.testing.assert_allclose(
            found.vertices, expected.vertices, atol=1e-5
        )


@pytest.mark.parametrize('count', [0, 1, 5])
def test_bodies(layers, count: int):
    compare(layers, persons(count))


@pytest.mark.parametrize('joint_set', ['smplx_55', 'smplx_127', 'smplx_137'])
def test_joints_alone(layers, joint_set: str):
    compare(layers, persons(3), joint_set=joint_set, return_vertices=False)


def test_head_yaw_moves_the_contour(layers):
    turns = np.zeros((9, 21, 3), np.float32)
    turns[:, 11, 1] = np.deg2rad(np.linspace(-50, 50, 9))
    compare(layers, dict(body_pose=turns), return_vertices=False)


def test_matrices_and_rows_for_all(layers):
    given = persons(4)
    hands = torch.from_numpy(given['left_hand_pose']).unflatten(1, (15, 3))
    matrices = axis_angle_to_matrix(hands).numpy()
    compare(
        layers,
        dict(left_hand_pose=matrices, betas=given['betas'][:1]),
    )
    compare(layers, {})


def test_attributes(layers):
    reference, layer = layers
    for name in ('faces', 'v_template', 'lbs_weights', 'parents', 'hand_mean'):
        np.testing.assert_array_equal(
            getattr(layer, name), getattr(reference, name), err_msg=name
        )


def test_flat_hands(free_body_dir: Path):
    layers = (
        SMPLXLayer(free_body_dir, flat_hand_mean=True),
        NumpySMPLXLayer(free_body_dir, flat_hand_mean=True),
    )
    compare(layers, dict(left_hand_pose=np.full((1, 45), 0.2, np.float32)))


def test_poser_takes_it(layers):
    reference, layer = layers
    given = persons(3)
    found, expected = BodyPoser(layer)(given), BodyPoser(reference)(given)
    np.testing.assert_allclose(found.vertices, expected.vertices, atol=1e-5)
    np.testing.assert_array_equal(
        BodyPoser(layer).faces, BodyPoser(reference).faces
    )


@pytest.mark.parametrize(
    ('parameters', 'message'),
    [
        (dict(betas=np.zeros((1, 9))), r'betas must have shape \(B, 10\)'),
        (dict(jaw_pose=np.zeros((1, 4))), 'jaw_pose must have shape'),
        (dict(betas=np.zeros(10)), 'must have a batch dimension'),
        (
            dict(betas=np.zeros((2, 10)), transl=np.zeros((3, 3))),
            r'betas.*\(2, 10\).*transl.*\(3, 3\)',
        ),
        (dict(joint_set='human_data'), "'smplx_144' does not have"),
    ],
)
def test_what_is_refused(layers, parameters: dict, message: str):
    with pytest.raises(ValueError, match=message):
        layers[1](**parameters)


def test_unknown_parameters_are_refused(layers):
    with pytest.raises(TypeError, match="unknown parameter 'pose'"):
        layers[1](pose=np.zeros((1, 3)))
    with pytest.raises(ValueError, match='chunk_size'):
        NumpySMPLXLayer(chunk_size=0)
