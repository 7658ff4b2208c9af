# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest

from aios.tracking.kernel_smoothing import smooth_signals

SECONDS = np.arange(200) / 10
ONES = np.ones(200)


def smooth(values, seconds=SECONDS, weights=ONES) -> np.ndarray:
    return smooth_signals(values[:, None, None], seconds, weights)[:, 0, 0]


def rms(values) -> float:
    return float(np.sqrt(np.square(values).mean()))


@pytest.mark.parametrize('noise', [0.0, 1e-3, 0.05, 0.5])
@pytest.mark.parametrize('hertz', [0.0, 0.1, 0.4, 1.2])
def test_error_is_that_of_the_best_bandwidth(noise, hertz):
    """Within a factor, whatever the noise and the speed of the signal."""
    signal = np.sin(2 * np.pi * hertz * SECONDS)
    noisy = signal + noise * np.random.default_rng(0).normal(size=200)
    inner = slice(25, -25)
    error = rms((smooth(noisy) - signal)[inner])
    best = rms((noisy - signal)[inner])
    for width in np.geomspace(0.02, 0.5, 30):
        kernel = np.exp(-0.5 * np.square((SECONDS - SECONDS[:, None]) / width))
        average = kernel @ noisy / kernel.sum(1)
        best = min(best, rms((average - signal)[inner]))
    assert error <= 2 * best + 2e-3


def test_strength_follows_changes():
    """Noise in the first half, fast clean motion in the second."""
    first = SECONDS < 10
    signal = np.where(first, 0.0, np.sin(2 * np.pi * (SECONDS - 10)))
    noisy = signal + first * np.random.default_rng(1).normal(0, 0.3, 200)
    error = smooth(noisy) - signal
    assert rms(error[10:75]) < 0.5 * rms((noisy - signal)[10:75])
    assert rms(error[150:190]) < 0.05


def test_errors_that_last_for_some_frames():
    """As a network makes them in a fast video."""
    seconds = np.arange(200) / 30
    noise = np.random.default_rng(0).normal(0, 0.3, 100).repeat(2)
    signal = np.sin(2 * np.pi * 0.3 * seconds)
    error = smooth(signal + noise, seconds) - signal
    assert rms(error[10:-10]) < 0.5 * rms(noise)


@pytest.mark.parametrize(('hertz', 'tolerance'), [(1, 0.01), (2, 0.1)])
def test_motion_of_a_fast_video_stays(hertz, tolerance):
    seconds = np.arange(200) / 30
    signal = np.sin(2 * np.pi * hertz * seconds)
    assert rms(smooth(signal, seconds) - signal) < tolerance


def test_times_and_weights_count():
    rng = np.random.default_rng(0)
    seconds = np.cumsum(rng.uniform(0.01, 0.08, 200))
    line = 3 * seconds + rng.normal(0, 0.1, 200)
    outliers = rng.random(200) < 0.2
    line[outliers] += 50
    weights = np.where(outliers, 1e-6, 1.0)
    error = smooth(line, seconds, weights) - 3 * seconds
    assert rms(error[~outliers][10:-10]) < 0.1


def test_signals_do_not_mix():
    rng = np.random.default_rng(0)
    signals = rng.normal(size=(50, 3, 2)) * [[[1], [1e-3], [0]]]
    together = smooth_signals(signals, SECONDS[:50], ONES[:50])
    for index in range(3):
        alone = smooth_signals(signals[:, [index]], SECONDS[:50], ONES[:50])
        np.testing.assert_allclose(alone[:, 0], together[:, index], atol=1e-5)


@pytest.mark.parametrize('count', [0, 1, 2])
def test_few_frames_stay(count):
    values = np.arange(count, dtype=float)
    np.testing.assert_array_equal(
        smooth(values, SECONDS[:count], ONES[:count]), values
    )
