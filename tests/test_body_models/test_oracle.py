# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The layer against tensors computed by the original AiOS implementation.

They were computed on a body model made of hashes. The tests need the folder
with ``comp_smplx.npz`` and ``make_oracle_body.py`` (which writes 350 MB) in
the environment variable ``AIOS_ORACLE_DIR``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from smplx_package_layer import SMPLXPackageLayer

from aios.body_models import GENDERS, BodyModelBase, SMPLXLayer
from aios.utils.safe_io import load_npz

ORACLE = os.environ.get('AIOS_ORACLE_DIR')
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not ORACLE, reason='AIOS_ORACLE_DIR is not set'),
]


@pytest.fixture(scope='module')
def oracle() -> dict[str, np.ndarray]:
    return load_npz(Path(ORACLE) / 'comp_smplx.npz')


@pytest.fixture(scope='module')
def oracle_body(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp('oracle_body')
    script = Path(ORACLE) / 'make_oracle_body.py'
    subprocess.run([sys.executable, str(script), str(folder)], check=True)
    return folder


@pytest.fixture(params=[SMPLXLayer, SMPLXPackageLayer])
def backend(request: pytest.FixtureRequest) -> type[BodyModelBase]:
    if request.param is SMPLXPackageLayer:
        pytest.importorskip('smplx')
    return request.param


def parameters(oracle: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {
        key.removeprefix('param/'): torch.from_numpy(value)
        for key, value in oracle.items()
        if key.startswith('param/')
    }


def assert_close(actual: torch.Tensor, expected: np.ndarray) -> None:
    np.testing.assert_allclose(actual.numpy(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize('gender', GENDERS)
def test_joints_and_vertices(oracle, oracle_body, backend, gender) -> None:
    layer = backend(model_path=oracle_body, gender=gender)
    output = layer(**parameters(oracle))
    assert_close(output.joints, oracle[f'{gender}/joints144'])
    expected = oracle[f'{gender}/vertices_every_97']
    assert_close(output.vertices[:, ::97], expected)
    expected = oracle[f'{gender}/vertices_mean']
    assert_close(output.vertices.double().mean(1), expected)
    if gender == 'neutral':
        mean_person = layer().vertices[0]
        assert_close(mean_person, oracle['neutral/vertices_tpose'])
        joints = layer(**parameters(oracle), joint_set='smplx_137').joints
        assert_close(joints, oracle['neutral/joints137'])


def _gradients(layer: BodyModelBase, oracle: dict) -> dict[str, torch.Tensor]:
    params = parameters(oracle)
    wanted = [
        key.removeprefix('joints137/grad/')
        for key in oracle
        if key.startswith('joints137/grad/')
    ]
    for name in wanted:
        params[name].requires_grad_()
    output = layer(**params, joint_set='smplx_137', return_vertices=False)
    weight = torch.from_numpy(oracle['joints137/outweight'])
    (output.joints * weight).sum().backward()
    return {name: params[name].grad for name in wanted}


def test_gradients(oracle, oracle_body, backend) -> None:
    layer = backend(model_path=oracle_body)
    gradients = _gradients(layer, oracle)
    assert len(gradients) == 7
    for name, gradient in gradients.items():
        expected = oracle[f'joints137/grad/{name}']
        scale = np.abs(expected).max()
        np.testing.assert_allclose(
            gradient / scale, expected / scale, rtol=0, atol=1e-4
        )
