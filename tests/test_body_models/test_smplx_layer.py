# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Geometry and interface of the SMPL-X layer."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from aios.body_models import (
    VERTEX_JOINTS,
    NumpySMPLXLayer,
    SMPLXLayer,
    load_body_model_arrays,
)
from aios.body_models.layout import contour_rows, split_shape_directions
from aios.registry import MODELS
from aios.structures import (
    POSE_JOINTS,
    SMPLX_144,
    axis_angle_to_matrix,
    joint_mapping,
)
from aios.utils.safe_io import save_npz


@pytest.fixture(scope='module')
def layer64(random_body: Path) -> SMPLXLayer:
    return SMPLXLayer(random_body, dtype=torch.float64)


@pytest.fixture(params=['free', 'random'])
def any_layer(request, layer: SMPLXLayer, layer64: SMPLXLayer) -> SMPLXLayer:
    """Sparse and dense pose correctives."""
    return layer if request.param == 'free' else layer64


def close(a: Tensor, b: Tensor, atol: float = 2e-6) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=atol)


# ------------------------------------------------------------------- geometry
def test_flat_body_is_the_template(
    free_body_dir: Path, layer: SMPLXLayer
) -> None:
    flat = SMPLXLayer(free_body_dir, flat_hand_mean=True)
    close(flat().vertices[0], flat.v_template)
    mean_hand = layer().vertices[0]
    assert (mean_hand - flat.v_template).abs().max() > 0.005


def test_joints_follow_the_mesh(layer: SMPLXLayer, make_params) -> None:
    output = layer(**make_params(2))
    for name, vertex in VERTEX_JOINTS.items():
        joint = 55 + list(VERTEX_JOINTS).index(name)
        assert SMPLX_144.names[joint] == name
        close(output.joints[:, joint], output.vertices[:, vertex], 0.0)


# ------------------------------------------------------------ parts and chunks
@pytest.mark.parametrize(
    'joint_set', ['smplx_144', 'smplx_127', 'smplx_137', 'smplx_55', 'coco']
)
def test_joints_without_vertices(any_layer, make_params, joint_set) -> None:
    params = make_params(5, any_layer.v_template.dtype)
    full = any_layer(**params, joint_set=joint_set)
    small = any_layer(**params, joint_set=joint_set, return_vertices=False)
    assert small.vertices is None
    assert small.joint_set == full.joint_set == joint_set
    close(small.joints, full.joints)
    source = joint_mapping('smplx_144', joint_set, approximate=True)
    everything = any_layer(**params).joints[:, torch.tensor(source)]
    close(full.joints, everything, 0.0)


def test_few_vertices_are_computed_without_vertices(layer) -> None:
    used = layer.anchors.template.shape[0] + layer.contour.template.shape[0]
    assert used < 0.05 * len(layer.v_template)
    assert layer.mesh.correctives.sparse


def test_sets_that_a_body_does_not_have(layer: SMPLXLayer) -> None:
    with pytest.raises(ValueError, match='human_data.*headtop'):
        layer(joint_set='human_data')
    with pytest.raises(KeyError, match='nonsense.*smplx_137'):
        layer(joint_set='nonsense')


def test_without_contour(free_body_dir: Path, layer, make_params) -> None:
    short = SMPLXLayer(free_body_dir, use_face_contour=False)
    output = short(**make_params(2))
    assert output.joint_set == 'smplx_127'
    close(output.joints, layer(**make_params(2)).joints[:, :127], 0.0)
    with pytest.raises(ValueError, match='contour_middle'):
        short(joint_set='smplx_137')


@pytest.mark.parametrize('chunk_size', [1, 3, 100])
def test_chunks_give_the_same(
    any_layer, make_params, chunk_size, monkeypatch
) -> None:
    """One person alone as well."""
    params = make_params(4, any_layer.v_template.dtype)
    whole = any_layer(**params)
    monkeypatch.setattr(any_layer, 'chunk_size', chunk_size)
    parts = any_layer(**params)
    close(parts.vertices, whole.vertices)
    close(parts.joints, whole.joints)


@pytest.mark.parametrize('chunk_size', [None, 2])
def test_no_person(any_layer, make_params, chunk_size, monkeypatch) -> None:
    dtype = any_layer.v_template.dtype
    params = make_params(0, dtype)
    params['betas'].requires_grad_()
    monkeypatch.setattr(any_layer, 'chunk_size', chunk_size)
    output = any_layer(**params)
    joints = any_layer(**params, return_vertices=False).joints
    assert output.vertices.shape == (0, 10475, 3)
    assert output.joints.shape == joints.shape == (0, 144, 3)
    assert output.joints.dtype == dtype
    (output.vertices.sum() + joints.sum()).backward()
    assert params['betas'].grad.shape == (0, 10)


def test_one_row_serves_all_persons(layer: SMPLXLayer, make_params) -> None:
    params = make_params(3)
    shape = params['betas'][:1]
    shared = layer(**params | {'betas': shape})
    copied = layer(**params | {'betas': shape.repeat(3, 1)})
    close(shared.vertices, copied.vertices, 0.0)


# ------------------------------------------------------------- kinds of input
def test_matrices_equal_axis_angle(any_layer, make_params) -> None:
    params = make_params(3, any_layer.v_template.dtype)
    means = {
        'left_hand_pose': any_layer.hand_mean[0],
        'right_hand_pose': any_layer.hand_mean[1],
    }
    matrices = {
        name: axis_angle_to_matrix(params[name] + means.get(name, 0))
        for name in POSE_JOINTS
    }
    expected = any_layer(**params)
    for chosen in (matrices, {'body_pose': matrices['body_pose']}):
        output = any_layer(**params | chosen)
        close(output.vertices, expected.vertices)
        close(output.joints, expected.joints)


def test_flat_and_square_poses(layer: SMPLXLayer, make_params) -> None:
    params = make_params(2)
    flat = {name: params[name].flatten(1) for name in POSE_JOINTS}
    close(layer(**params).joints, layer(**params | flat).joints, 0.0)
    turn = axis_angle_to_matrix(params['global_orient'])
    close(
        layer(global_orient=turn[:, 0]).joints,
        layer(global_orient=params['global_orient']).joints,
    )


@pytest.mark.parametrize(
    ('name', 'shape', 'allowed'),
    [
        ('betas', (2, 11), r'\(B, 10\)'),
        ('expression', (2, 10, 1), r'\(B, 10\)'),
        ('transl', (3,), 'batch dimension'),
        ('transl', (2, 4), r'\(B, 3\)'),
        ('body_pose', (2, 23, 3), r'\(B, 63\) or \(B, 21, 3\)'),
        ('body_pose', (2, 69), r'\(B, 21, 3, 3\)'),
        ('jaw_pose', (2, 3, 1), r'\(B, 1, 3\)'),
        ('left_hand_pose', (2, 12), r'\(B, 45\)'),
        ('global_orient', (2, 4), r'\(B, 1, 3, 3\)'),
    ],
)
def test_wrong_shapes_are_named(layer, name, shape, allowed) -> None:
    with pytest.raises(ValueError, match=f'{name} must.*{allowed}'):
        layer(**{name: torch.zeros(shape)})


def test_unequal_batches_are_named(layer: SMPLXLayer) -> None:
    with pytest.raises(
        ValueError, match=r"'betas': \(2, 10\), 'jaw_pose': \(3, 3\)"
    ):
        layer(betas=torch.zeros(2, 10), jaw_pose=torch.zeros(3, 3))


def test_inputs_of_another_dtype(layer: SMPLXLayer, make_params) -> None:
    params = make_params(2)
    double = {name: value.double() for name, value in params.items()}
    output = layer(**double)
    assert output.joints.dtype == torch.float32
    close(output.joints, layer(**params).joints)


def test_autocast_does_not_cost_millimeters(layer, make_params) -> None:
    params = make_params(2)
    expected = layer(**params).vertices
    with torch.autocast('cpu', dtype=torch.bfloat16):
        output = layer(**params).vertices
    assert output.dtype == torch.float32
    close(output, expected, 0.0)


# ------------------------------------------------------------------- gradients
def test_gradcheck(layer64: SMPLXLayer, make_params) -> None:
    params = make_params(2, torch.float64)
    names = list(params)

    def joints(*values: Tensor) -> Tensor:
        given = dict(zip(names, values, strict=True))
        return layer64(**given, return_vertices=False).joints

    def vertices(*values: Tensor) -> Tensor:
        given = dict(zip(names, values, strict=True))
        return layer64(**given).vertices[:, ::997]

    inputs = [value.requires_grad_() for value in params.values()]
    assert torch.autograd.gradcheck(joints, inputs, fast_mode=True)
    assert torch.autograd.gradcheck(vertices, inputs, fast_mode=True)


def test_sparse_correctives_of_gpus(free_body_dir) -> None:
    """A GPU multiplies the same matrix with its zeros."""
    layer = SMPLXLayer(free_body_dir, dtype=torch.float64)
    correctives = layer.mesh.correctives
    dense = correctives._dense_matrix()
    for gradient in (False, True):  # rows in order, or a list of entries
        feature = torch.zeros(1, dense.shape[1], dtype=dense.dtype)
        sparse = correctives._sparse_matrix(feature.requires_grad_(gradient))
        assert torch.equal(sparse.to_dense(), dense)
    on_meta = correctives.to('meta')(
        torch.zeros(2, dense.shape[1], device='meta').double()
    )
    assert on_meta.shape == (2, len(dense) // 3, 3)


def test_gradcheck_with_sparse_correctives(free_body_dir, make_params) -> None:
    layer = SMPLXLayer(free_body_dir, dtype=torch.float64)
    pose = make_params(2, torch.float64)['body_pose'].requires_grad_()
    assert torch.autograd.gradcheck(
        lambda x: layer(body_pose=x).vertices[:, ::97], pose, fast_mode=True
    )


def test_gradient_is_finite_in_the_rest_pose(layer: SMPLXLayer) -> None:
    params = {
        name: torch.zeros(1, n, 3, requires_grad=True)
        for name, n in POSE_JOINTS.items()
    }
    layer(**params, return_vertices=False).joints.square().sum().backward()
    for name, value in params.items():
        assert value.grad.isfinite().all(), name
    assert params['body_pose'].grad.abs().max() > 1e-3


# --------------------------------------------------------------------- contour
def test_contour_rows() -> None:
    yaw = torch.tensor([0, 0.4, 1, -1, 12.6, -12.6, 39, -39, 60, -60, 180])
    angles = torch.zeros(len(yaw), 3)
    angles[:, 1] = torch.deg2rad(yaw)
    rows = contour_rows(axis_angle_to_matrix(angles))
    # a turn to the left (positive) uses rows 40.., to the right rows 1..39
    assert rows.tolist() == [0, 0, 40, 1, 52, 13, 78, 39, 78, 39, 0]


def test_contour_rows_ignore_pitch_in_front() -> None:
    pitch = axis_angle_to_matrix(torch.tensor([[0.4, 0.0, 0.0]]))
    yaw = axis_angle_to_matrix(torch.tensor([[0.0, math.radians(20), 0.0]]))
    assert contour_rows(yaw @ pitch).tolist() == contour_rows(yaw).tolist()


def test_nan_stays_with_its_person(layer: SMPLXLayer, make_params) -> None:
    params = make_params(2)
    expected = layer(**params)
    params['global_orient'][0] = torch.nan
    output = layer(**params)
    assert output.joints[0, 1:].isnan().all()
    close(output.joints[1], expected.joints[1])


# ------------------------------------------------------- module and attributes
def test_model_data_stays_out_of_checkpoints(layer: SMPLXLayer) -> None:
    assert not layer.state_dict()
    assert not list(layer.parameters())


def test_conversion_to_double(free_body_dir: Path, layer) -> None:
    double = SMPLXLayer(free_body_dir).double()
    assert double().vertices.dtype == torch.float64
    close(double().vertices.float(), layer().vertices)


def test_registry_builds_it(free_body_dir: Path) -> None:
    built = MODELS.build(
        {'type': 'SMPLXLayer', 'model_path': free_body_dir, 'gender': 'male'}
    )
    assert isinstance(built, SMPLXLayer)
    assert built.gender == 'male'


def test_bad_arguments(free_body_dir: Path) -> None:
    with pytest.raises(ValueError, match='chunk_size'):
        SMPLXLayer(free_body_dir, chunk_size=0)
    with pytest.raises(ValueError, match='gender'):
        SMPLXLayer(free_body_dir, gender='other')
    for layer in (SMPLXLayer, NumpySMPLXLayer):
        with pytest.raises(ValueError, match=r'NEUTRAL\.npz: num_betas must'):
            layer(free_body_dir, num_betas=301)


# -------------------------------------------------------------- shape layouts
@pytest.mark.parametrize(
    ('total', 'betas', 'expressions', 'columns'),
    [
        (400, 2, 2, [0, 1, 300, 301]),
        (400, 300, 100, list(range(400))),
        (20, 2, 1, [0, 1, 10]),
        (20, 10, 10, list(range(20))),
        (120, 1, 1, [0, 10]),
        (10, 3, 0, [0, 1, 2]),
    ],
)
def test_layouts(total, betas, expressions, columns) -> None:
    directions = np.arange(total)[None, None]
    picked = split_shape_directions(directions, betas, expressions)
    assert picked[0, 0].tolist() == columns


@pytest.mark.parametrize(
    ('total', 'betas', 'expressions', 'message'),
    [
        (20, 11, 10, r'num_betas must be in 0\.\.10'),
        (20, 10, 11, r'num_expression_coeffs must be in 0\.\.10'),
        (10, 10, 1, r'num_expression_coeffs must be in 0\.\.0'),
        (400, 10, 101, r'num_expression_coeffs must be in 0\.\.100'),
        (400, -1, 10, 'num_betas'),
    ],
)
def test_layouts_that_are_too_small(total, betas, expressions, message):
    with pytest.raises(ValueError, match=message):
        split_shape_directions(np.zeros((1, 3, total)), betas, expressions)


def test_both_layouts_give_the_same_body(
    free_body_dir: Path, tmp_path: Path, layer, make_params
) -> None:
    source = free_body_dir / 'smplx' / 'SMPLX_NEUTRAL.npz'
    arrays = load_body_model_arrays(source)
    arrays['shapedirs'] = split_shape_directions(arrays['shapedirs'], 10, 10)
    save_npz(tmp_path / 'SMPLX_NEUTRAL.npz', arrays, compress=False)
    params = make_params(2)
    narrow = SMPLXLayer(tmp_path)(**params)
    close(narrow.vertices, layer(**params).vertices, 0.0)
