# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Tracks without holes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from aios.body_models import BodyPoser
from aios.results import SequenceResult
from aios.tracking import fill_gaps

PATHS = [((-1.2, -4.0), (1.2, -4.5)), ((1.3, -6.0), (-1.3, -3.5))]
HIDDEN = range(6, 10)


@pytest.fixture(scope='module')
def truth(walk) -> SequenceResult:
    frames = walk(PATHS, frames=14)
    return SequenceResult.from_frames(frames, fps=25, source='a.mp4')


@pytest.fixture(scope='module')
def holed(truth) -> SequenceResult:
    """Person 0 is missing for four frames."""
    hidden = np.isin(truth.frame_index, HIDDEN) & (truth.person_id == 0)
    return truth.select(~hidden)


def test_missing_persons_are_put_between(truth, holed, layer):
    filled = fill_gaps(holed, layer, 4)
    assert filled.metadata == truth.metadata
    where = [f.instances['person_id'].tolist() for f in filled.frames()]
    assert where == [[1, 0] if n in HIDDEN else [0, 1] for n in range(14)]
    added = filled.scores == 0
    np.testing.assert_array_equal(filled.frame_index[added], HIDDEN)
    before = np.isin(truth.frame_index, HIDDEN) & (truth.person_id == 0)
    for name, most in (('joints3d', 0.15), ('joints2d', 30), ('bboxes', 30)):
        error = getattr(filled, name)[added] - getattr(truth, name)[before]
        assert np.abs(error).max() < most
    # The joints are those of the parameters.
    frame = next(f for f in filled.frames() if f.source_frame == 7)
    again = frame.posed(BodyPoser(layer))
    np.testing.assert_allclose(
        again.instances['joints3d'], frame.instances['joints3d'], atol=1e-5
    )


def test_persons_are_where_they_are_at_that_time(holed, layer):
    """The frame rate of a phone changes with the light."""
    times = np.arange(14.0)
    times[8:] += 5
    uneven = replace(holed, timestamps=2 + times / 25)
    filled = fill_gaps(uneven, layer)
    path = filled.bboxes[filled.person_id == 0]
    start, end = path[5], path[10]
    shares = (times[list(HIDDEN)] - times[5]) / (times[10] - times[5])
    wanted = start + shares[:, None] * (end - start)
    np.testing.assert_allclose(path[list(HIDDEN)], wanted, atol=0.01)


def test_found_persons_stay_as_they_are(holed, layer):
    filled = fill_gaps(holed, layer)
    found = filled.select(filled.scores > 0)
    for name in ('frame_index', 'person_id', 'transl', 'joints2d', 'K'):
        np.testing.assert_array_equal(
            getattr(found, name), getattr(holed, name)
        )


def test_longer_gaps_and_ends_of_tracks_are_not_filled(truth, holed, layer):
    assert len(fill_gaps(holed, layer, 3)) == len(holed)
    begun = truth.select((truth.person_id == 1) | (truth.frame_index > 5))
    ended = truth.select((truth.person_id == 1) | (truth.frame_index < 5))
    for persons in (truth, begun, ended, truth.select([])):
        assert len(fill_gaps(persons, layer)) == len(persons)


def test_meshes_are_filled_too(holed, layer):
    frames = [f for f in holed.frames() if f.source_frame in (5, 6, 10)]
    poser = BodyPoser(layer)
    persons = SequenceResult.from_frames(f.posed(poser) for f in frames)
    filled = fill_gaps(persons, layer)
    assert filled.vertices.shape[0] == len(persons) + 1
    (row,) = np.flatnonzero(filled.scores == 0)
    low, high = filled.joints3d[row].min(0), filled.joints3d[row].max(0)
    assert (np.abs(filled.vertices[row].min(0) - low) < 0.3).all()
    assert (np.abs(filled.vertices[row].max(0) - high) < 0.3).all()


def test_wrong_input_is_refused(truth, layer):
    with pytest.raises(ValueError, match='max_gap must not be negative'):
        fill_gaps(truth, layer, -1)
    with pytest.raises(ValueError, match='needs SMPL-X parameters'):
        fill_gaps(replace(truth, body_model='mhr'), layer)
