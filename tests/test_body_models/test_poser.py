# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest
import torch

from aios.body_models import BodyPoser, SMPLXLayer, ground_truth_parameters
from aios.body_models import poser as poser_module


@pytest.fixture(scope='module')
def config(free_body_dir) -> dict:
    return dict(type='SMPLXLayer', model_path=free_body_dir)


@pytest.fixture(scope='module')
def layers(free_body_dir) -> dict[str, SMPLXLayer]:
    genders = ('female', 'neutral', 'male')
    return {gender: SMPLXLayer(free_body_dir, gender) for gender in genders}


def parameters(count: int) -> dict:
    rng = np.random.default_rng(0)
    sizes = dict(betas=10, body_pose=63, left_hand_pose=45, transl=3)
    return {
        name: rng.normal(0, 0.3, (count, size)) for name, size in sizes.items()
    }


@pytest.mark.parametrize(
    'genders',
    [['female', 'neutral', 'male', 'female', 'neutral'], [1, -1, 0, 1, -1]],
)
def test_persons_have_the_body_of_their_gender(
    config, layers, monkeypatch, genders
):
    """In the given order, whatever is posed together."""
    monkeypatch.setattr(poser_module, '_CHUNK', 1)
    given = parameters(5)
    bodies = BodyPoser(config)(given, genders)
    names = ('female', 'neutral', 'male', 'female', 'neutral')
    for row, name in enumerate(names):
        one = {
            key: torch.from_numpy(value[[row]]).float()
            for key, value in given.items()
        }
        body = layers[name](**one)
        np.testing.assert_allclose(
            bodies.joints[row], body.joints[0], atol=1e-5
        )
        np.testing.assert_allclose(
            bodies.vertices[row], body.vertices[0], atol=1e-5
        )


def test_options_go_to_the_body_model(config):
    bodies = BodyPoser(config)(
        parameters(2), joint_set='smplx_55', return_vertices=False
    )
    assert bodies.joints.shape == (2, 55, 3)
    assert bodies.vertices is None


def test_no_person(config):
    bodies = BodyPoser(config)(parameters(0), [])
    assert bodies.joints.shape == (0, 144, 3)
    assert bodies.vertices.shape == (0, 10475, 3)


def test_a_layer_or_a_gender_in_the_config_serves_all(config, layers):
    male = layers['male']
    wanted = BodyPoser(config)(parameters(2), 'male').joints
    for body_model in (male, config | {'gender': 'male'}):
        bodies = BodyPoser(body_model)(parameters(2), ['female', 'neutral'])
        np.testing.assert_array_equal(bodies.joints, wanted)


def test_layers_are_built_once(config):
    poser = BodyPoser(config)
    assert poser.layer('male') is poser.layer('male')
    assert poser.layer('male') is not poser.layer()
    assert not poser.layer('male').training


@pytest.mark.parametrize('genders', [['male'], 'male'])
def test_unequal_rows_are_named(config, genders):
    given = parameters(2) | {'betas': np.zeros((3, 10))}
    with pytest.raises(ValueError, match=r"same number of rows.*'betas': 3"):
        BodyPoser(config)(given, genders)


@pytest.mark.parametrize('gender', [7, 'other'])
def test_unknown_genders_are_refused(config, gender):
    with pytest.raises(ValueError, match=f'gender must be one of.*{gender}'):
        BodyPoser(config)(parameters(1), [gender])


def test_fields_of_ground_truth_become_arguments():
    persons = dict(
        smplx_pose=torch.arange(53.0)[None, :, None].repeat(3, 1, 3),
        smplx_betas=torch.arange(30.0).reshape(3, 10),
    )
    found = ground_truth_parameters(persons, np.array([2, 0]))
    assert found['betas'].tolist() == persons['smplx_betas'][[2, 0]].tolist()
    del found['betas']
    assert {key: value[0, :, 0].tolist() for key, value in found.items()} == {
        'global_orient': [0],
        'body_pose': list(range(1, 22)),
        'left_hand_pose': list(range(22, 37)),
        'right_hand_pose': list(range(37, 52)),
        'jaw_pose': [52],
    }
