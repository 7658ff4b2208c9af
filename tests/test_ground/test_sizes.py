# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""One floor tells who is small and who is far away."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from stick_body import STEP, Family, StickBody, family
from walking_persons import View

from aios.body_models import BodyPoser
from aios.ground import (
    Beliefs,
    GroundOptions,
    ground_sequence,
    size_notes,
)
from aios.ground.heights import MAX_CHANGE
from aios.ground.sizes import adult_scale
from aios.results import SequenceResult

HEIGHTS = (1.72, 1.36)  # a grown-up and a child


@pytest.fixture(scope='module')
def persons() -> Family:
    return family(101, View(-15, 1.6), HEIGHTS, 90)


def found_heights(report) -> np.ndarray:
    return np.array([report['heights_m'][str(i)][1] for i in range(2)])


def test_a_child_is_no_far_adult(persons):
    _, depth = persons.errors(persons.found, np.full(2, 1.7))
    assert depth > 0.12
    after, report = ground_sequence(persons.found, StickBody())
    height, depth = persons.errors(after, found_heights(report))
    assert height < 0.03
    assert depth < 0.03
    assert report['heights_m']['1'][0] == 1.7
    assert not size_notes(report)
    child = after.betas[after.person_id == 1]
    assert (child == child[0]).all()
    assert report['after']['foot_slide_mm'] < 10


def test_meshes_move_along(persons):
    body = StickBody()
    found = SequenceResult.from_frames(
        frame.posed(BodyPoser(body)) for frame in persons.found.frames()
    )
    after, _ = ground_sequence(found, body)
    assert after.vertices is not None
    frame = after.frame(20)
    again = frame.posed(BodyPoser(body)).instances['vertices']
    np.testing.assert_allclose(frame.instances['vertices'], again, atol=1e-5)


def test_a_small_child_is_as_small_as_bodies_get():
    """Too far and below the floor, on a plane that is too low as well."""
    small = family(102, View(-15, 1.6), (1.72, 1.0), 90)
    after, report = ground_sequence(small.found, StickBody())
    most = MAX_CHANGE * STEP
    adult, child = found_heights(report)
    assert child == pytest.approx(1.7 - most, abs=0.01)
    assert adult == pytest.approx(1.72, rel=0.04)
    factor = report['clipped_sizes']['1']
    assert factor == pytest.approx(1.0 / child, rel=0.08)
    (note,) = size_notes(report)
    assert note.startswith(f'person 1 should be {factor:.2f} times as large')
    assert after.floor[3] == pytest.approx(1.6, abs=0.06)
    rows = after.person_id == 1
    turned = (after.body_pose - small.found.body_pose)[rows]
    assert np.degrees(np.abs(turned).max()) < 45
    heights = after.joints3d[rows] @ after.floor[:3] + after.floor[3]
    lowest = heights.min(1)
    expected = after.floor[3] * (1 - 1 / factor)
    np.testing.assert_allclose(lowest, expected, atol=0.05)


def test_a_known_height_sets_the_scale(persons):
    """Also that of the others."""
    tall = ground_sequence(persons.found, StickBody(), heights={1: 1.5})
    heights = found_heights(tall[1])
    assert heights[1] == pytest.approx(1.5)
    factor = 1.5 / HEIGHTS[1]
    assert heights[0] == pytest.approx(HEIGHTS[0] * factor, rel=0.02)
    assert tall[0].floor[3] == pytest.approx(1.6 * factor, rel=0.04)


def test_a_floor_again_with_sizes_as_they_are(persons):
    options = GroundOptions(beliefs=Beliefs(size=0))
    short = persons.found.select_frames(slice(60))
    floor = np.array([0, -1.0, 0, 3])
    once = replace(short, floor=floor)
    after, report = ground_sequence(once, StickBody(), options)
    assert not report['heights_m']
    assert not report['clipped_sizes']
    np.testing.assert_array_equal(after.betas, short.betas)
    assert after.floor[3] < 2.5


def test_heights_need_a_body_model(persons):
    with pytest.raises(ValueError, match='with the body model'):
        ground_sequence(persons.found, heights={1: 1.4})
    with pytest.raises(ValueError, match='no person 5; ids are 0, 1'):
        ground_sequence(persons.found, StickBody(), heights={5: 1.4})


@pytest.mark.parametrize(
    ('heights', 'expected'),
    [
        ([2.1], 1.68 / 2.1),  # nothing is known
        ([1.94, 1.94, 1.82], 1.68 / 1.9),  # adults
        ([1.94, 1.46], 1.68 / 1.94),  # a child, and no giant
        ([1.46, 1.94, 1.94], 1.68 / 1.94),
    ],
)
def test_most_persons_are_adults(heights, expected):
    scale = adult_scale(np.array(heights))
    assert scale == pytest.approx(expected, rel=0.02)
