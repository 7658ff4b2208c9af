# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Data frames and children of AGORA as they come."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from toy_agora import NAMES

from aios.body_models import SMPLXLayer
from aios.datasets.converters.agora_frames import pixel_width
from aios.datasets.converters.bodies import kid_model
from aios.evaluation.agora import AGORAGroundTruth
from aios.evaluation.agora.bodies import SubmittedBodies

FRAME = 'validation_0_SMPLX_withjv.pkl'


def test_frames_of_smpl(toy, tmp_path):
    """Those of SMPL, of the same name, are not read."""
    folder = tmp_path / 'frames'
    shutil.copytree(toy.folder, folder)
    other = folder / 'validation_SMPL/SMPL'
    other.mkdir(parents=True)
    (other / FRAME).write_bytes(b'not read')
    assert NAMES[0] in AGORAGroundTruth(folder)


@pytest.mark.parametrize(
    ('gender', 'model'),
    [('female', 'neutral'), ('male', 'male')],
)
def test_children(free_body_dir, layer, tmp_path, gender, model):
    """Girls have the neutral model of children."""
    template = tmp_path / 'smplx_kid_template.npy'
    np.save(template, layer.v_template.numpy() * 0.6)
    rng = np.random.default_rng(0)
    sizes = {'body_pose': 63, 'left_hand_pose': 45, 'right_hand_pose': 45}
    sizes |= dict.fromkeys(
        ('transl', 'global_orient', 'jaw_pose', 'leye_pose', 'reye_pose'), 3
    )
    params = {k: rng.normal(0, 0.2, (1, n)) for k, n in sizes.items()}
    params['betas'] = rng.normal(0, 0.5, (1, 11))
    params['expression'] = np.zeros((1, 10))
    person = {'params': params, 'kid_flag': True, 'gender': gender}

    bodies = SubmittedBodies(str(free_body_dir), str(template))
    joints, vertices = bodies([person])

    path = kid_model(str(free_body_dir), model, str(template))
    child = SMPLXLayer(path, model, num_betas=11)
    tensors = {k: child.v_template.new_tensor(v) for k, v in params.items()}
    wanted = child(**tensors)
    np.testing.assert_allclose(
        vertices, wanted.vertices.detach().numpy(), atol=1e-5
    )
    np.testing.assert_allclose(
        joints, wanted.joints.detach().numpy()[:, :127], atol=1e-5
    )


def _image(width: float) -> tuple[np.ndarray, np.ndarray]:
    """Joints and their pixels in an image of that width."""
    joints = np.random.default_rng(0).uniform(1, 2, (2, 9, 3))
    rays = joints[..., :2] / joints[..., 2:]
    return joints, width * (rays + 0.5)


@pytest.mark.parametrize('width', [3840, 1280])
def test_joints_tell_the_width_of_images(width):
    assert pixel_width([_image(width), _image(1.02 * width)]) == width
    with pytest.raises(ValueError, match=f'width of {1.1 * width:.0f}'):
        pixel_width([_image(1.1 * width)])


def test_joints_behind_the_camera_tell_nothing():
    joints, points = _image(3840)
    assert pixel_width([(-joints, points)]) is None
