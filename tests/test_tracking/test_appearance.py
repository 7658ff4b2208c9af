# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Persons are told apart by their colors."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from aios.results import FrameResult, complete_instances
from aios.structures import joint_mapping
from aios.tracking import Tracker, with_appearance
from aios.tracking.appearance import appearance_similarity, mean_appearance

RED, GREEN = (20, 20, 235), (20, 235, 20)
BODY = joint_mapping('smplx_144', 'coco')


def standing(*places: float) -> FrameResult:
    """Persons at columns of a 200 x 100 image: hips at 50, knees at 75."""
    joints = np.zeros((len(places), 144, 2))
    for row, x in enumerate(places):
        for first, y in ((5, 20), (11, 50), (13, 75)):
            joints[row, BODY[first : first + 2]] = (x + 10, y), (x - 10, y)
    persons = complete_instances(
        joints2d=joints, bboxes=np.zeros((len(places), 4))
    )
    return FrameResult('a', 0, 0, np.eye(3), (200, 100), persons)


def dressed() -> np.ndarray:
    """Red above 50 and green below it; the right half is all green."""
    image = np.zeros((100, 200, 3), np.uint8)
    image[:50], image[50:] = RED, GREEN
    image[:, 100:] = GREEN
    return image


@pytest.mark.parametrize('step', [1, 2])
def test_torso_and_thighs_have_their_colors(step):
    # Also in an image of half the size.
    image = dressed()[::step, ::step]
    frame = with_appearance(standing(40, 150), image)
    found = frame.instances['appearance'][:, :2]
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)
    # Bins are those of blue, green and red, four of each.
    bins = found.argmax(-1)
    assert bins.tolist() == [[0b000011, 0b001100], [0b001100] * 2]
    assert (found.max(-1) > 0.9).all()


def test_parts_outside_the_image_have_no_color():
    frame = with_appearance(standing(40, 300), dressed())
    assert frame.instances['appearance'][:, :2].any(-1).tolist() == [
        [True, True],
        [False, False],
    ]
    assert len(with_appearance(standing(), dressed())) == 0


def test_parts_behind_the_camera_have_no_color():
    """Their pixels are mirrored."""
    frame = standing(40)
    frame.instances['joints3d'][0, BODY[13:15], 2] = -0.1  # knees
    found = with_appearance(frame, dressed()).instances['appearance']
    assert found[:, :2].any(-1).tolist() == [[True, False]]


def test_similarity_ignores_parts_that_one_lacks():
    known = np.zeros((2, 2, 64))
    known[0, :, 3] = known[1, :, 12] = 1
    seen = np.zeros((3, 2, 64))
    seen[0, :, 3] = seen[1, 0, 12] = 1
    alike = appearance_similarity(known, seen)
    assert alike[[0, 1, 0, 1], [0, 1, 2, 2]].tolist() == [1, 1, 1, 1]
    assert alike[[1, 0], [0, 1]].max() < 0.2


def test_the_mean_takes_parts_where_they_are_known():
    old, new = np.zeros((2, 2, 64))
    old[0, 3] = new[0, 5] = new[1, 7] = 1
    mean = mean_appearance(old, new)
    assert mean[0, [3, 5]].tolist() == pytest.approx([0.8, 0.2])
    assert mean[1, 7] == 1
    np.testing.assert_array_equal(mean_appearance(old, 0 * new), old)


@pytest.mark.parametrize('known', [False, True])
def test_persons_in_one_place_keep_their_ids(known):
    """Their boxes and joints shake more than they differ."""
    rng = np.random.default_rng(0)
    clothes = np.zeros((2, 3, 64))
    clothes[0, :2, 3] = clothes[1, :2, 12] = 1
    tracker, seen = Tracker(), set()
    for _ in range(12):
        order = rng.permutation(2)
        frame = standing(*rng.normal(40, 2, 2))
        points = frame.instances['joints2d'][:, BODY[5:15]]
        boxes = np.concatenate([points.min(1), points.max(1)], axis=-1)
        looks = clothes[order] if known else None
        tracked = tracker.track(
            frame.with_fields(
                bboxes=boxes, appearance=looks, scores=np.ones(2)
            )
        )
        assert 'appearance' not in tracked.instances
        ids = tracked.instances['person_id']
        seen |= set(zip(order.tolist(), ids.tolist(), strict=True))
    assert (len(seen) == 2) is known


def room(
    seed: int, left: int = 0, light: float = 1, passer: int = -90
) -> np.ndarray:
    """What a camera sees of a wall, 200 x 100 pixels from ``left``.

    Someone who is near to the camera hides 90 columns from ``passer`` on.
    """
    noise = np.random.default_rng(seed).normal(0, 900, (100, 400, 3))
    wall = cv2.GaussianBlur(noise.astype(np.float32), (0, 0), 12)
    seen = light * (128 + wall[:, left : left + 200])
    seen[:, max(passer, 0) : passer + 90] = 20
    return np.clip(seen, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ('images', 'cuts'),
    [
        ([room(0)] * 4 + [room(1)] * 2 + [room(2)], [4, 6]),
        # Back in the first room: the person may be another one.
        ([room(0), room(1), room(0)], [1, 2]),
        # A fast pan, a passer-by, and clouds before the sun.
        ([room(0, left) for left in range(0, 200, 10)], []),
        ([room(0, passer=x) for x in range(-90, 200, 30)], []),
        ([room(0, light=light) for light in (1, 1.4, 0.7, 0.9)], []),
    ],
)
def test_ids_end_at_cuts(images: list[np.ndarray], cuts: list[int]):
    tracker = Tracker()
    still = standing(100).with_fields(
        bboxes=np.array([[80.0, 10, 120, 95]]), scores=np.ones(1)
    )
    ids = []
    for number, image in enumerate(images):
        frame = replace(still, source_frame=number)
        tracked = tracker.track(with_appearance(frame, image))
        ids += tracked.instances['person_id'].tolist()
    assert tracker.cuts == cuts
    shots = np.split(np.array(ids), cuts)
    assert len({*ids}) == sum(len({*shot.tolist()}) for shot in shots)
