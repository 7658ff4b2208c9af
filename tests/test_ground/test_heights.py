# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Known heights set the scale; truth: bodies of known shape."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aios.body_models import BodyPoser
from aios.ground import set_heights, standing_heights
from aios.results import FrameResult, SequenceResult, complete_instances

SHAPES = np.array([[1.0, 0.5], [-2.5, 0.0]])  # a tall person, and a short one
DEPTHS = np.array([4.0, 3.0])
K = np.array([[500.0, 0, 320], [0, 500, 240], [0, 0, 1]])


@pytest.fixture(scope='module')
def poser(free_body_dir) -> BodyPoser:
    return BodyPoser({'type': 'SMPLXLayer', 'model_path': str(free_body_dir)})


def seen(poser, betas, depths, frames=2) -> SequenceResult:
    """Two persons, side by side."""
    transl = np.stack([[-0.8, 0.8], [0, 0], depths], axis=1)
    persons = []
    for number in range(frames):
        shapes = np.zeros((2, 10))
        shapes[:, :2] = betas
        fields = complete_instances(
            betas=shapes,
            transl=transl,
            global_orient=np.tile([np.pi, 0, 0], (2, 1)),
        )
        name = f'{number:06d}'
        frame = FrameResult(name, number, number / 10, K, (640, 480), fields)
        persons.append(frame.posed(poser, False))
    return SequenceResult.from_frames(persons, fps=10)


@pytest.fixture(scope='module')
def truth(poser) -> SequenceResult:
    return seen(poser, SHAPES, DEPTHS)


@pytest.fixture(scope='module')
def found(poser, truth) -> SequenceResult:
    """Both are taken for the mean person, who looks as tall farther away."""
    heights = standing_heights(truth.betas[:2], poser)
    mean = standing_heights(np.zeros((1, 10)), poser)
    persons = seen(poser, SHAPES * 0, DEPTHS * mean / heights)
    pelvis = truth.joints3d[:, :1]
    depths = persons.joints3d[:, :1, 2:] / pelvis[..., 2:]
    shift = pelvis * depths - persons.joints3d[:, :1]
    joints = persons.joints3d + shift
    return replace(
        persons, transl=persons.transl + shift[:, 0], joints3d=joints
    )


def test_known_heights_put_persons_where_they_are(poser, truth, found):
    tall, short = standing_heights(truth.betas[:2], poser).tolist()
    assert tall - short > 0.2
    error = np.abs(found.joints3d[:, 0, 2] - truth.joints3d[:, 0, 2])
    assert error.max() > 0.3
    fixed = set_heights(found, {0: tall, 1: short}, poser)
    error = np.linalg.norm(fixed.joints3d - truth.joints3d, axis=-1)
    assert error.max() < 0.03
    np.testing.assert_allclose(
        standing_heights(fixed.betas, poser), [tall, short] * 2, atol=1e-4
    )
    # The pixels are those of the file's camera, and hardly others.
    assert np.abs(fixed.joints2d - truth.joints2d).max() < 4
    same = set_heights(found, {0: short, 1: short}, poser)
    np.testing.assert_allclose(
        standing_heights(same.betas, poser), short, atol=1e-4
    )
    one = set_heights(found, {1: short}, poser)
    np.testing.assert_array_equal(one.joints3d[::2], found.joints3d[::2])
    np.testing.assert_array_equal(one.betas[::2], found.betas[::2])
    assert one.joints3d[1, 0, 2] == pytest.approx(DEPTHS[1], abs=0.01)


def test_shapes_that_vary_do_not_move_persons(poser, truth):
    """The network takes a person for a tall one far away, then a short one."""
    tall = standing_heights(truth.betas[:1], poser)
    frames = []
    for frame, change in zip(truth.frames(), (0.6, -0.6), strict=True):
        betas = frame.instances['betas'].copy()
        betas[:, 0] += change
        grown = standing_heights(betas, poser)
        grown = grown / standing_heights(frame.instances['betas'], poser)
        pelvis = frame.instances['joints3d'][:, 0]
        moved = frame.with_fields(betas=betas).posed(poser, False)
        shift = pelvis * grown[:, None] - moved.instances['joints3d'][:, 0]
        transl = moved.instances['transl'] + shift
        frames.append(moved.with_fields(transl=transl).posed(poser, False))
    found = SequenceResult.from_frames(frames, fps=10)
    assert np.ptp(found.joints3d[[0, 2], 0, 2]) > 0.1
    fixed = set_heights(found, {0: float(tall[0])}, poser)
    depths = fixed.joints3d[[0, 2], 0, 2]
    np.testing.assert_allclose(depths, truth.joints3d[0, 0, 2], atol=0.01)


def test_a_height_of_all_keeps_proportions(poser, truth):
    before = standing_heights(truth.betas, poser)
    floor = np.array([0, -1, 0, 1.5])
    persons = set_heights(replace(truth, floor=floor), {None: 1.6}, poser)
    after = standing_heights(persons.betas, poser)
    factor = 1.6 / np.median(before)
    np.testing.assert_allclose(after, before * factor, rtol=1e-5)
    np.testing.assert_allclose(
        persons.joints3d[:, 0], truth.joints3d[:, 0] * factor, rtol=1e-4
    )
    assert persons.floor[3] == pytest.approx(1.5 * factor)


@pytest.mark.parametrize(
    ('heights', 'match'),
    [
        ({7: 1.8}, 'no person 7; ids are 0, 1'),
        ({0: 0.9}, r'estimated as 1\.\d\d m cannot be set to 0\.90 m'),
        ({0: np.nan}, 'positive number of meters'),
        ({None: -1}, 'positive number of meters'),
    ],
)
def test_impossible_heights(poser, truth, heights, match):
    with pytest.raises(ValueError, match=match):
        set_heights(truth, heights, poser)


def test_who_stands_on_a_floor_or_has_no_id(poser, truth):
    on_floor = replace(truth, floor=np.array([0, -1, 0, 1.5]))
    with pytest.raises(ValueError, match='off the floor'):
        set_heights(on_floor, {0: 1.8}, poser)
    images = replace(truth, timestamps=np.zeros(2))
    with pytest.raises(ValueError, match='need ids of a video'):
        set_heights(images, {0: 1.8}, poser)
