# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from aios.tracking import OneEuroOptions, RotationFilter, VectorFilter

GENTLE = OneEuroOptions(min_cutoff=1.0, beta=0.0)


def angle(a: Rotation, b: Rotation) -> np.ndarray:
    return (a.inv() * b).magnitude()


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3))
def test_constant_signals_stay(vector):
    turn = Rotation.from_rotvec([vector])
    turns, vectors = RotationFilter(GENTLE), VectorFilter(GENTLE)
    for _ in range(5):
        assert angle(turns(turn, 0.04), turn)[0] < 1e-6
        np.testing.assert_allclose(
            vectors(np.array([vector]), 0.04), [vector], atol=1e-12
        )


def test_noise_at_rest_gets_smaller():
    rng = np.random.default_rng(0)
    truth = Rotation.from_rotvec(rng.normal(0, 1, (20, 3)))
    noisy = [truth * _noise(rng, 20) for _ in range(200)]
    smooth = RotationFilter(GENTLE)
    errors = [
        [angle(truth, turn), angle(truth, smooth(turn, 0.04))]
        for turn in noisy
    ]
    before, after = np.square(errors[25:]).mean((0, 2))
    # An RC filter of 1 Hz at 25 Hz leaves s / (2 - s) = 12.5 % of the
    # variance of white noise, s = 1 - exp(-2 pi / 25).
    assert after / before == pytest.approx(0.125, rel=0.15)


def _noise(rng, count: int) -> Rotation:
    return Rotation.from_rotvec(rng.normal(0, 0.05, (count, 3)))


def test_rotations_pass_through_pi_without_a_jump():
    """An axis-angle vector flips its sign there."""
    smooth = RotationFilter(GENTLE)
    angles = np.linspace(0.8 * np.pi, 1.2 * np.pi, 80)
    turns = [Rotation.from_rotvec([[0, 0, a]]) for a in angles]
    vectors = np.concatenate([turn.as_rotvec() for turn in turns])
    assert np.abs(np.diff(vectors, axis=0)).max() > 6
    filtered = [smooth(turn, 0.04) for turn in turns]
    steps = [angle(a, b)[0] for a, b in pairwise(filtered)]
    assert max(steps) <= np.diff(angles).max() * 1.001


def test_the_result_does_not_depend_on_the_axes():
    rng = np.random.default_rng(1)
    frame = Rotation.random(random_state=2)
    turns = Rotation.from_rotvec(np.cumsum(rng.normal(0, 0.1, (30, 3)), 0))
    plain, turned = RotationFilter(GENTLE), RotationFilter(GENTLE)
    for turn in turns:
        one = frame * plain(turn, 0.04)
        assert angle(one, turned(frame * turn, 0.04)) < 1e-6


def test_speed_reduces_lag():
    def lag(beta: float) -> float:
        smooth = VectorFilter(OneEuroOptions(0.5, beta))
        for t in range(100):
            out = smooth(np.array([[0.1 * t]]), 0.04)
        return 9.9 - float(out[0, 0])

    assert lag(0.0) > 0.5
    assert lag(2.0) < 0.15 * lag(0.0)


def test_frame_rate_does_not_matter():
    def after_a_second(rate: int, signal) -> float:
        smooth = VectorFilter(OneEuroOptions(1.0, 0.5))
        for t in range(rate + 1):
            out = smooth(np.array([[signal(t / rate)]]), 1 / rate)
        return float(out[0, 0])

    ramp = [after_a_second(rate, lambda t: 3 * t) for rate in (50, 100, 200)]
    # Ends are compared with half a step of the sampling itself.
    assert ramp[0] == pytest.approx(ramp[1], abs=3 / 50)
    assert ramp[1] == pytest.approx(ramp[2], abs=3 / 100)


def test_half_steps_go_as_far_as_a_whole_one():
    whole, halves = VectorFilter(GENTLE), VectorFilter(GENTLE)
    zero, one = np.zeros((1, 1)), np.ones((1, 1))
    whole(zero, 0.1)
    halves(zero, 0.1)
    halves(one, 0.05)
    np.testing.assert_allclose(halves(one, 0.05), whole(one, 0.1))


@pytest.mark.parametrize('numbers', [(0, 1), (1, -1), (1, 1, 0)])
def test_wrong_options_are_refused(numbers):
    with pytest.raises(ValueError, match='must be positive'):
        OneEuroOptions(*numbers)
