# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""MoveNet with the published weights.

They are in the shipped model. Others, also with all heads, are taken from
the file that ``AIOS_TEST_MOVENET`` names, of ``movenet_to_mm.py``.
"""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from script_loader import load_script

import aios
from aios.models import MoveNet
from aios.models.checkpoints import read_checkpoint

PERSONS = load_script('projects/free_model/movenet_persons.py')
SHIPPED = Path(aios.__file__).parent / 'weights/aios_s.safetensors'
# of scikit-image's photograph, marked by hand
ASTRONAUT = dict(nose=(224, 123), left_eye=(246, 103), right_eye=(203, 101))


@pytest.fixture(scope='module')
def weights():
    path = Path(os.environ.get('AIOS_TEST_MOVENET') or SHIPPED)
    if not path.is_file():
        pytest.skip(f'no weights of MoveNet: {path}')
    weights = read_checkpoint(path)['state_dict']
    backbone = {
        name.removeprefix('backbone.'): value
        for name, value in weights.items()
        if name.startswith('backbone.')
    }
    return backbone or weights


@pytest.fixture(scope='module')
def backbone(weights):
    model = MoveNet()
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not missing
    assert all(name.startswith('heads.') for name in unexpected)
    return model


@pytest.fixture(scope='module')
def all_heads(weights):
    model = PERSONS.MoveNetMultiPose()
    if set(weights) != set(model.state_dict()):
        pytest.skip('needs AIOS_TEST_MOVENET, with --all-heads')
    model.load_state_dict(weights)
    return model


@pytest.fixture(scope='module')
def tfjs(data_dir):
    """Maps of TensorFlow.js, see ``run_tfjs.mjs`` beside them."""
    with np.load(data_dir / 'movenet/tfjs.npz') as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


@pytest.fixture(scope='module')
def drawn_persons(data_dir):
    return cv2.imread(str(data_dir / 'movenet/persons.png'))


def photograph(name):
    """One of scikit-image, in BGR."""
    data = pytest.importorskip('skimage.data')
    return getattr(data, name)()[..., ::-1].copy()


def heat_maps(backbone, image):
    """Of 17 keypoints and of centers, for the image 256 pixels long."""
    scale = 256 / max(image.shape[:2])
    image = cv2.resize(
        image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
    )
    fine, _, _ = backbone.raw_maps(PERSONS.to_input(image))
    return fine[0, -18:]


def test_maps_of_tfjs(backbone, tfjs, drawn_persons):
    blocks, levels = backbone.extract(PERSONS.to_input(drawn_persons))
    ours = {f'block_{i}': block for i, block in enumerate(blocks)}
    for stride, level in zip((4, 8, 16, 32), levels, strict=True):
        ours[f'level_{stride}'] = level
    for name in ('center', 'kpt_heatmap'):
        ours[name] = backbone.heads[name](levels[0])
    for name in set(tfjs) - {'people'}:
        expected = tfjs[name].permute(2, 0, 1)
        error = (ours[name][0] - expected).abs().max()
        assert error <= 3e-3 * max(1, expected.abs().max() / 50), name


def test_features_of_tfjs(backbone, tfjs, drawn_persons):
    heat = torch.cat([tfjs['kpt_heatmap'], tfjs['center']], -1).sigmoid()
    height, width, _ = heat.shape
    pooled = heat.reshape(height // 2, 2, width // 2, 2, 18).amax((1, 3))
    parts = (
        [tfjs['block_5'], tfjs['level_8'], pooled],
        [tfjs['block_9'], tfjs['block_12'], tfjs['level_16']],
        [tfjs['block_15'], tfjs['level_32']],
    )
    maps = backbone.raw_maps(PERSONS.to_input(drawn_persons))
    for ours, expected in zip(maps, parts, strict=True):
        expected = torch.cat(expected, -1).permute(2, 0, 1)
        torch.testing.assert_close(ours[0], expected, atol=3e-3, rtol=1e-4)


def test_persons_of_tfjs(all_heads, tfjs, drawn_persons):
    height, width = drawn_persons.shape[:2]
    maps = all_heads.head_maps(PERSONS.to_input(drawn_persons))
    persons = PERSONS.decode({n: v[0].double() for n, v in maps.items()}, 6)
    scores = [person.score for person in persons]
    assert [score > 0.11 for score in scores] == [True] * 2 + [False] * 4
    for person, theirs in zip(
        persons[:2], tfjs['people'].numpy(), strict=False
    ):
        keypoints = theirs[:51].reshape(17, 3)
        points = keypoints[:, 1::-1] * [width, height]
        assert abs(person.keypoints[:, :2] - points).max() <= 0.01
        box = theirs[[52, 51, 54, 53]] * [width, height, width, height]
        assert abs(person.bbox - box).max() <= 0.01
        assert abs(person.keypoints[:, 2] - keypoints[:, 2]).max() < 1e-4
        assert person.score == pytest.approx(theirs[55], abs=1e-4)


def test_face_of_the_astronaut(backbone):
    heat = heat_maps(backbone, photograph('astronaut'))
    assert heat[-1].max() > 0.8, 'center of a person'
    for (name, point), channel in zip(
        ASTRONAUT.items(), heat[:3], strict=True
    ):
        y, x = divmod(int(channel.argmax()), channel.shape[1])
        # 16 pixels of the photograph, which was made half as large
        place = np.array([x + 0.5, y + 0.5]) * 16
        assert abs(place - point).max() <= 12, name
        assert channel.max() > 0.6


@pytest.mark.parametrize('name', ['chelsea', 'coffee'])
def test_no_person(backbone, name):
    heat = heat_maps(backbone, photograph(name))
    assert heat.amax((1, 2)).max() < 0.5


@pytest.mark.parametrize(
    ('name', 'count'), [('astronaut', 1), ('chelsea', 0), ('coffee', 0)]
)
def test_persons_in_photographs(all_heads, name, count):
    # At MoveNet's own 0.11 the astronaut's face is a second one (0.27).
    persons = PERSONS.find_persons(all_heads, photograph(name), min_score=0.4)
    assert len(persons) == count
    for person in persons:
        for keypoint, point in zip(
            person.keypoints, ASTRONAUT.values(), strict=False
        ):
            assert abs(keypoint[:2] - point).max() < 6
