# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Our layer equals the ``smplx`` package to 1e-5 m."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from smplx_package_layer import SMPLXPackageLayer

from aios.body_models import (
    GENDERS,
    SMPLXLayer,
    SMPLXOutput,
)
from aios.structures import POSE_JOINTS, axis_angle_to_matrix

pytest.importorskip('smplx')

JOINT_SETS = ['smplx_144', 'smplx_127', 'smplx_137', 'smplx_55', 'coco']


def build_both(folder: Path, **kwargs) -> tuple:
    ours = SMPLXLayer(model_path=folder, **kwargs)
    theirs = SMPLXPackageLayer(model_path=folder, **kwargs)
    return ours, theirs


def assert_equal(ours: SMPLXOutput, theirs: SMPLXOutput) -> None:
    assert ours.joint_set == theirs.joint_set
    for a, b in (
        (ours.vertices, theirs.vertices),
        (ours.joints, theirs.joints),
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


@pytest.fixture(scope='module', params=['free', 'random'])
def both(request, free_body_dir: Path, random_body: Path) -> tuple:
    """Both backends on a sparse and on a dense body."""
    free = request.param == 'free'
    return build_both(free_body_dir if free else random_body)


def test_equal_to_the_package(both, make_params) -> None:
    ours, theirs = both
    for seed in range(3):
        params = make_params(4, seed=seed)
        expected = theirs(**params)
        assert_equal(ours(**params), expected)
        joints = ours(**params, return_vertices=False).joints
        torch.testing.assert_close(joints, expected.joints, rtol=0, atol=1e-5)
    assert_equal(ours(), theirs())


def test_equal_with_flat_hand_mean(random_body, make_params) -> None:
    ours, theirs = build_both(random_body, flat_hand_mean=True)
    assert_equal(ours(**make_params(3)), theirs(**make_params(3)))
    assert_equal(ours(), theirs())


def test_equal_joint_sets_and_matrices(both, make_params) -> None:
    ours, theirs = both
    params = make_params(2)
    for joint_set in JOINT_SETS:
        assert_equal(
            ours(**params, joint_set=joint_set),
            theirs(**params, joint_set=joint_set),
        )
    matrices = {
        name: axis_angle_to_matrix(params[name]) for name in POSE_JOINTS
    }
    assert_equal(ours(**params | matrices), theirs(**params | matrices))
    mixed = {'body_pose': matrices['body_pose']}
    assert_equal(ours(**params | mixed), theirs(**params | mixed))


@pytest.mark.parametrize('gender', GENDERS)
def test_equal_for_every_gender(free_body_dir, make_params, gender) -> None:
    params = make_params(3)
    ours, theirs = build_both(
        free_body_dir, gender=gender, use_face_contour=False
    )
    assert_equal(ours(**params), theirs(**params))


def _head_yaw(degrees: np.ndarray) -> dict[str, torch.Tensor]:
    """The yaw, spread over root, spine and neck."""
    share = torch.tensor(degrees, dtype=torch.float32) * math.pi / 180 / 5
    body_pose = torch.zeros(len(degrees), 21, 3)
    for joint in (3, 6, 9, 12):
        body_pose[:, joint - 1, 1] = share
    global_orient = torch.zeros(len(degrees), 3)
    global_orient[:, 1] = share
    return {'body_pose': body_pose, 'global_orient': global_orient}


def test_equal_contour_over_the_yaw_range(both) -> None:
    """Both sides, both edges and beyond.

    The row changes at half degrees, where rounding may differ: stay off.
    """
    edges = [-89, -40.4, -39.4, -38.6, 0, 38.6, 39.4, 40.4, 89]
    degrees = np.concatenate([edges, np.arange(-36, 37, 4) + 0.2])
    ours, theirs = both
    params = _head_yaw(degrees)
    assert_equal(ours(**params), theirs(**params))
    matrices = {
        k: axis_angle_to_matrix(v.view(len(degrees), -1, 3))
        for k, v in params.items()
    }
    assert_equal(ours(**matrices), theirs(**matrices))
    contour = ours(**params).joints[:, 127:] - ours(**params).joints[:, 15:16]
    assert (contour[4] - contour[6]).abs().max() > 1e-3  # it does slide


def test_gradients_are_equal(random_body: Path, make_params) -> None:
    gradients = []
    for layer in build_both(random_body, dtype=torch.float64):
        params = make_params(2, torch.float64)
        for value in params.values():
            value.requires_grad_()
        output = layer(**params)
        (output.joints.square().sum() + output.vertices.sum()).backward()
        gradients.append({k: v.grad for k, v in params.items()})
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(
            gradient, gradients[1][name], rtol=1e-5, atol=1e-5
        )


def test_interface_is_the_same(free_body_dir, make_params, capsys) -> None:
    ours, theirs = build_both(free_body_dir, chunk_size=2)
    assert not theirs.state_dict()
    for name in ('faces', 'parents', 'hand_mean', 'v_template', 'lbs_weights'):
        a, b = getattr(ours, name), getattr(theirs, name)
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert_equal(ours(**make_params(5)), theirs(**make_params(5)))
    empty = theirs(**make_params(0))
    assert_equal(ours(**make_params(0)), empty)
    assert theirs(**make_params(2), return_vertices=False).vertices is None
    with pytest.raises(ValueError, match='body_pose must have shape'):
        theirs(body_pose=torch.zeros(2, 60))
    assert capsys.readouterr().out == ''


def test_small_layout_is_refused_loudly(random_body: Path) -> None:
    for kind in (SMPLXLayer, SMPLXPackageLayer):
        with pytest.raises(ValueError, match=r'num_betas must be in 0\.\.10'):
            kind(model_path=random_body, num_betas=11)
