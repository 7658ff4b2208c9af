# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Our layer equals the ``smplx`` package to 1e-5 m.

The package is under a license for non-commercial research; nothing of it is
part of this project.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from aios.body_models import SMPLXLayer
from aios.body_models.free_body import FREE_BODY_GENDERS
from aios.structures import POSE_JOINTS, axis_angle_to_matrix

smplx = pytest.importorskip('smplx')


def package(folder: Path, **options: Any) -> torch.nn.Module:
    """A layer of the package that takes axis-angle poses."""
    defaults = dict(use_face_contour=True, flat_hand_mean=False)
    options = defaults | options
    return smplx.SMPLX(
        str(folder), ext='npz', use_pca=False, num_betas=10,
        num_expression_coeffs=10, create_transl=False, **options,
    )  # fmt: skip


def assert_equal(ours: SMPLXLayer, theirs: Any, params: dict) -> None:
    output, expected = ours(**params), theirs(**params)
    close = dict(rtol=0, atol=1e-5)
    torch.testing.assert_close(output.vertices, expected.vertices, **close)
    torch.testing.assert_close(output.joints, expected.joints, **close)


@pytest.fixture(scope='module', params=['free', 'random'])
def folder(request, free_body_dir: Path, random_body: Path) -> Path:
    """A sparse and a dense body."""
    free = request.param == 'free'
    return free_body_dir / 'smplx' if free else random_body


@pytest.mark.parametrize('flat', [False, True])
def test_equal_to_the_package(folder, make_params, flat) -> None:
    ours = SMPLXLayer(folder, flat_hand_mean=flat)
    theirs = package(folder, flat_hand_mean=flat, batch_size=4)
    for seed in range(3):
        assert_equal(ours, theirs, make_params(4, seed=seed))


def test_equal_with_matrices(random_body: Path, make_params) -> None:
    params = make_params(2)
    for name in POSE_JOINTS:
        params[name] = axis_angle_to_matrix(params[name])
    theirs = smplx.SMPLXLayer(
        str(random_body), ext='npz', use_pca=False, use_face_contour=True
    )
    assert_equal(SMPLXLayer(random_body), theirs, params)


def test_equal_contour_over_the_yaw_range(folder: Path) -> None:
    """Both sides, both edges and beyond, of the head's yaw.

    The row changes at half degrees, where rounding may differ: stay off.
    """
    edges = [-89, -40.4, -39.4, -38.6, 0, 38.6, 39.4, 40.4, 89]
    degrees = np.concatenate([edges, np.arange(-36, 37, 4) + 0.2])
    # spread over root, spine and neck
    share = torch.tensor(degrees, dtype=torch.float32) * math.pi / 180 / 5
    body_pose = torch.zeros(len(degrees), 21, 3)
    for joint in (3, 6, 9, 12):
        body_pose[:, joint - 1, 1] = share
    params = dict(
        body_pose=body_pose,
        global_orient=torch.stack([0 * share, share, 0 * share], 1),
    )
    ours = SMPLXLayer(folder)
    assert_equal(ours, package(folder, batch_size=len(degrees)), params)
    joints = ours(**params).joints
    contour = joints[:, 127:] - joints[:, 15:16]
    assert (contour[4] - contour[6]).abs().max() > 1e-3  # it does slide


@pytest.mark.parametrize('gender', FREE_BODY_GENDERS)
def test_package_loads_the_free_body(free_body_dir, make_params, gender):
    """By the way of its users, through the folder of all models."""
    theirs = smplx.create(
        str(free_body_dir), 'smplx', gender=gender, ext='npz', use_pca=False,
        use_face_contour=True, num_expression_coeffs=10, batch_size=3,
    )  # fmt: skip
    ours = SMPLXLayer(free_body_dir, gender)
    assert_equal(ours, theirs, make_params(3))
