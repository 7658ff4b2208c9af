# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""SMPL bodies and the way from SMPL-X to them."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from scipy import sparse
from toy_smpl import chosen_vertices

from aios.body_models import (
    BodyModelFileError,
    MissingBodyModelError,
    SMPLLayer,
    SMPLXLayer,
    find_smpl,
    load_h36m_regressor,
    load_smplx_to_smpl,
)


@pytest.mark.parametrize('gender', ['neutral', 'male', 'female'])
def test_bodies_are_those_of_smplx(smpl_models, gender):
    """Same parameters, fingers flat: same vertices and joints."""
    generator = torch.Generator().manual_seed(1)
    betas = torch.randn(3, 10, generator=generator)
    pose = torch.randn(3, 72, generator=generator) * 0.4
    pose[:, 66:] = 0
    transl = torch.randn(3, 3, generator=generator)
    ours = SMPLLayer(smpl_models, gender)(
        betas, pose[:, :3], pose[:, 3:], transl
    )
    layer = SMPLXLayer(smpl_models, gender, flat_hand_mean=True)
    other = layer(betas, None, pose[:, :3], pose[:, 3:66], transl=transl)
    assert ours.vertices.shape == (3, 6890, 3)
    torch.testing.assert_close(
        ours.joints[:, :22], other.joints[:, :22], atol=2e-5, rtol=0
    )
    matrix = load_smplx_to_smpl(smpl_models)
    assert matrix.shape == (6890, 10475)
    converted = other.vertices[:, chosen_vertices()]
    np.testing.assert_array_equal(
        matrix @ other.vertices[0].double().numpy(), converted[0]
    )
    torch.testing.assert_close(ours.vertices, converted, atol=2e-5, rtol=0)


def test_hands_turn_about_their_joints(smpl_models):
    layer = SMPLLayer(smpl_models)
    pose = torch.zeros(1, 69)
    rest = layer(torch.zeros(1, 10), torch.zeros(1, 3), pose)
    pose[0, 63:66] = 1.0  # left hand, joint 22
    turned = layer(torch.zeros(1, 10), torch.zeros(1, 3), pose)
    moved = (turned.vertices - rest.vertices).norm(dim=-1)[0] > 1e-4
    assert torch.equal(turned.joints, rest.joints)
    assert 0 < moved.sum() < 2000
    assert bool((layer.mesh.weights[moved, 22] > 0).all())


def test_files(smpl_models, tmp_path):
    assert find_smpl(smpl_models, 'male').name.startswith('basicmodel_m')
    assert load_h36m_regressor(
        smpl_models / 'smpl/SMPL_NEUTRAL.npz'
    ).shape == (
        17,
        6890,
    )
    with pytest.raises(MissingBodyModelError, match='smpl.is.tue.mpg.de'):
        SMPLLayer(tmp_path)
    with pytest.raises(MissingBodyModelError, match='model_transfer.zip'):
        load_smplx_to_smpl(tmp_path)
    with pytest.raises(MissingBodyModelError, match='SPIN'):
        load_h36m_regressor(tmp_path)
    with pytest.raises(ValueError, match="got 'robot'"):
        find_smpl(smpl_models, 'robot')


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'other': 1}, "expected a dict with 'mtx' or 'matrix'"),
        ({'matrix': np.ones((5, 5))}, r'expected shape \(6890, 10475\)'),
        (
            {'matrix': sparse.csr_matrix((6890, 10475))},
            'row 0 must sum to 1',
        ),
        ({'matrix': 'text'}, 'no matrix'),
    ],
)
def test_bad_correspondences(tmp_path, content, message):
    path = tmp_path / 'smplx2smpl.pkl'
    path.write_bytes(pickle.dumps(content))
    with pytest.raises(BodyModelFileError, match=message):
        load_smplx_to_smpl(tmp_path)


def test_bad_model(smpl_models, tmp_path):
    with np.load(smpl_models / 'smpl/SMPL_NEUTRAL.npz') as file:
        arrays = dict(file)
    np.savez(tmp_path / 'SMPL_MALE.npz', **(arrays | {'weights': [[1.0]]}))
    with pytest.raises(BodyModelFileError, match=r'\[weights\]: expected'):
        SMPLLayer(tmp_path, 'male')
    arrays.pop('posedirs')
    np.savez(tmp_path / 'SMPL_FEMALE.npz', **arrays)
    with pytest.raises(BodyModelFileError, match='lacks posedirs'):
        SMPLLayer(tmp_path, 'female')
    with pytest.raises(BodyModelFileError, match='num_betas is 11'):
        SMPLLayer(smpl_models, num_betas=11)
