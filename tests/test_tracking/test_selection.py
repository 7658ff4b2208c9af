# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest

from aios.results import FrameResult, complete_instances
from aios.tracking import LargestPerson, Tracker, largest_person


def frame(t: int = 0, **sides: float) -> FrameResult:
    """Persons ``a``, ``b``, ... (ids 0, 1, ...) with square boxes."""
    ids = [ord(name) - ord('a') for name in sides]
    boxes = np.array([[10, 10, 10 + s, 10 + s] for s in sides.values()])
    persons = complete_instances(
        person_id=np.array(ids, int), bboxes=boxes.reshape(-1, 4)
    )
    return FrameResult(f'{t:06d}', t, t / 25, np.eye(3), (640, 480), persons)


def chosen(result: FrameResult) -> list[int]:
    return result.instances['person_id'].tolist()


def test_largest_person_of_a_frame():
    assert chosen(largest_person(frame(a=50, b=80, c=70))) == [1]
    assert chosen(largest_person(frame())) == []


def test_largest_person_does_not_jump_between_persons():
    follow = LargestPerson(margin=1.5)
    sizes = [(50, 40), (40, 45), (40, 48), (40, 60), (40, 40)]
    ids = [chosen(follow(frame(a=a, b=b)))[0] for a, b in sizes]
    assert ids == [0, 0, 0, 1, 1]


def test_largest_person_waits_for_who_is_missing():
    follow = LargestPerson(max_gap=2)
    given = [frame(a=50), *[frame(b=90)] * 2, frame(a=50, b=60)]
    assert [chosen(follow(f)) for f in given] == [[0], [], [], [0]]
    given = [frame(b=90)] * 3
    assert [chosen(follow(f)) for f in given] == [[], [], [1]]


def test_largest_person_of_the_next_shot():
    """Ids of the shot before never come back."""
    tracker = Tracker()
    follow = LargestPerson(tracker=tracker)
    assert chosen(follow(frame(a=50))) == [0]
    tracker.cuts.append(1)
    assert chosen(follow(frame(b=20, c=40))) == [2]
    assert chosen(follow(frame(b=45, c=40))) == [2]


@pytest.mark.parametrize('options', [dict(margin=0.5), dict(max_gap=-1)])
def test_wrong_options_are_refused(options):
    with pytest.raises(ValueError, match='at least'):
        LargestPerson(**options)
