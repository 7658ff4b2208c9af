# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""How persons are read from the maps of MoveNet's heads."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from script_loader import load_script

PERSONS = load_script('projects/free_model/movenet_persons.py')
HEIGHT, WIDTH = 12, 16
CHANNELS = dict(
    center=1, box_scale=2, box_offset=2, kpt_heatmap=17, kpt_regress=34,
    kpt_offset=34,
)  # fmt: skip


@pytest.fixture
def maps():
    """One person at row 5, column 7; the nose at row 2, column 8."""
    maps = {n: torch.zeros(c, HEIGHT, WIDTH) for n, c in CHANNELS.items()}
    maps['center'] -= 20
    maps['kpt_heatmap'] -= 20
    maps['center'][0, 5, 7] = 0  # probability 1/2
    maps['center'][0, 5, 8] = -1  # no peak
    maps['box_offset'][:, 5, 7] = torch.tensor([0.5, 0.25])
    maps['box_scale'][:, 5, 7] = torch.tensor([8.0, 4.0])
    maps['kpt_regress'][:2, 5, 7] = torch.tensor([-3.0, 1.0])
    maps['kpt_heatmap'][0, 2, 8] = 3
    maps['kpt_offset'][:2, 2, 8] = torch.tensor([0.25, -0.5])
    return maps


def test_reads_a_person(maps):
    person, other = PERSONS.decode(maps, max_persons=2)
    # middle (5.5, 7.25), 8 high and 4 wide, times the stride 4
    assert person.bbox.tolist() == [21, 6, 37, 38]
    nose = person.keypoints[0]
    assert nose[:2].tolist() == [4 * 7.5, 4 * 2.25]
    probability = 1 / (1 + np.exp(-3))
    assert nose[2] == pytest.approx(probability)
    assert person.score == pytest.approx(probability / 2)
    assert other.score < 1e-6


def test_keypoints_are_in_the_box_and_near(maps):
    maps['kpt_heatmap'][0, 2, 12] = 9  # outside of the box
    maps['kpt_heatmap'][0, 8, 6] = 3.5  # in it, but 6 rows too low
    person = PERSONS.decode(maps, max_persons=1)[0]
    assert person.keypoints[0, :2].tolist() == [4 * 7.5, 4 * 2.25]


def test_boxes_end_where_the_image_ends(maps):
    maps['box_scale'][:, 5, 7] = torch.tensor([99.0, -1.0])
    person = PERSONS.decode(maps, max_persons=1)[0]
    assert person.bbox.tolist() == [29, 0, 29, 4 * HEIGHT]


def test_input_is_rgb_with_black_padding():
    image = np.zeros((30, 33, 3), np.uint8)
    image[..., 0] = 255  # blue
    x = PERSONS.to_input(image)
    assert x.shape == (1, 3, 32, 64)
    assert x[0, :, 0, 0].tolist() == [-1, -1, 1]
    assert x[0, :, 31, 0].tolist() == [-1, -1, -1]


class Scripted(torch.nn.Module):
    """A network that sees what it is told to see."""

    def __init__(self, *answers):
        super().__init__()
        self.answers = list(answers)

    def head_maps(self, x):
        assert max(x.shape) in (256, 512)
        maps = self.answers.pop(0)
        return {name: value[None] for name, value in maps.items()}


def test_one_person_at_two_sizes_is_one(maps, monkeypatch):
    monkeypatch.setattr(PERSONS, 'LONG_SIDES', (256, 512))
    image = np.zeros((384, 512, 3), np.uint8)
    maps['kpt_heatmap'][0, 2, 8] = 0
    large = {name: value.clone() for name, value in maps.items()}
    # As large again, in the image that is as large again.
    for name in ('box_scale', 'box_offset'):
        large[name] *= 2
    large['center'][0, 5, 7], large['center'][0, 10, 14] = -20, 1
    for name in ('box_scale', 'box_offset', 'kpt_regress'):
        large[name][:, 10, 14] = large[name][:, 5, 7]
    persons = PERSONS.find_persons(Scripted(maps, large), image, min_score=0.1)
    assert len(persons) == 1
    assert persons[0].bbox.tolist() == pytest.approx([42, 12, 74, 76])


@pytest.mark.parametrize(
    ('out', 'photos', 'message'),
    [
        ('persons.json', '.', 'persons.json: must be a new file'),
        ('new.json', 'none', 'none: contains no PNG files'),
        ('new.json', '.', 'all.safetensors: no such checkpoint file'),
    ],
)
def test_errors_come_first(
    tmp_path, monkeypatch, capsys, out, photos, message
):
    monkeypatch.chdir(tmp_path)
    for name in ('persons.json', 'a.png'):
        (tmp_path / name).touch()
    with pytest.raises(SystemExit) as caught:
        PERSONS.main(['all.safetensors', photos, out])
    assert message in f'{caught.value} {capsys.readouterr().err}'
