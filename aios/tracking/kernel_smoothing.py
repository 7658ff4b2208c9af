# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Kernel smoothing whose bandwidth follows from the data.

A signal is averaged over time with Gaussian weights. The best bandwidth grows
with the noise and falls with the acceleration of the signal; both are
estimated in the neighborhood of each frame (iterative plug-in: Gasser, Kneip,
Koehler: A flexible and fast method for automatic smoothing, JASA 1991). So
noise is removed, and fast or clean motion hardly changes.

The noise of a frame is its distance from the cubic through two frames before
and two after it. These frames are some hundredths of a second apart, as a
network makes similar errors in consecutive frames of a fast video. What is
slower than two oscillations per second counts as motion.

Legend: ``T`` frames, ``M`` signals, ``D`` components of each.
"""

from __future__ import annotations

import math

import numpy as np

_PILOT, _LONGEST = 0.1, 0.5  # first and largest bandwidth, seconds
_SHORTEST = 0.25  # smallest bandwidth in intervals of frames: no smoothing
_NEIGHBORHOOD = 1.0  # seconds, of the estimates
_INDEPENDENT = 0.07  # seconds after which errors are independent
_REACH = 4.0  # bandwidths after which weights are neglected
_ITERATIONS = 4
_LEAST_SHARE = 0.1  # of the measured acceleration that is not noise

# Integrals of the square of the Gaussian density with standard deviation 1,
# and of the square of its second derivative.
_ROUGHNESS = 1 / (2 * math.sqrt(math.pi))
_CURVATURE = 3 / (8 * math.sqrt(math.pi))


def smooth_signals(
    signals: np.ndarray, seconds: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Smooth signals over time.

    Components of a signal have one bandwidth, signals their own.

    Args:
        signals: ``(T, M, D)``.
        seconds: ``(T,)``, ascending.
        weights: ``(T,)`` positive reliability of the frames.

    Returns:
        ``(T, M, D)``; the signals themselves for fewer than five frames.
    """
    if len(seconds) < 5:
        return signals
    before, after = np.diff(seconds)[:-1], np.diff(seconds)[1:]
    interval = _around((before + after)[:, None] / 2, seconds)
    share = (before / (before + after))[:, None]
    lag = round(_INDEPENDENT / float(np.median(np.diff(seconds))))
    lag = min(max(lag, 1), (len(seconds) - 1) // 4)
    noise = _around(_noise(signals, seconds, lag), seconds) * lag * interval
    bandwidth = np.full(signals.shape[:2], _PILOT)
    smooth = _average(signals, seconds, weights, bandwidth)
    for _ in range(_ITERATIONS):
        bends = _bends(smooth, share)
        acceleration = _around(
            4 * bends / (before * after)[:, None] ** 2, seconds
        )
        left = _CURVATURE * noise / bandwidth**5  # of the noise in `smooth`
        acceleration = np.maximum(
            acceleration - left, _LEAST_SHARE * acceleration
        )
        tiny = np.finfo(float).tiny
        best = (_ROUGHNESS * noise / np.maximum(acceleration, tiny)) ** 0.2
        bandwidth = best.clip(_SHORTEST * interval, _LONGEST)
        smooth = _average(signals, seconds, weights, bandwidth)
    return smooth


def _noise(signals: np.ndarray, seconds: np.ndarray, lag: int) -> np.ndarray:
    """Squared noise ``(T - 4 lag, M)`` of the inner frames.

    Args:
        signals: ``(T, M, D)``.
        seconds: ``(T,)``.
        lag: Frames between those of the cubic.
    """
    count = len(seconds) - 4 * lag
    here = slice(2 * lag, 2 * lag + count)
    others = [slice(i * lag, i * lag + count) for i in (0, 1, 3, 4)]
    offsets = [seconds[other] - seconds[here] for other in others]
    cubic, variance = np.zeros_like(signals[here]), np.ones(count)
    for index, other in enumerate(others):
        # Lagrange's polynomial at the frame itself.
        weight = np.ones(count)
        for offset in offsets[:index] + offsets[index + 1 :]:
            weight *= offset / (offset - offsets[index])
        cubic += weight[:, None, None] * signals[other]
        variance += weight**2
    return np.square(signals[here] - cubic).sum(-1) / variance[:, None]


def _bends(signals: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Squared distances from the line between the neighbors.

    Args:
        signals: ``(T, M, D)``.
        share: ``(T - 2, 1)`` place of a frame between its neighbors, 0 to 1.

    Returns:
        ``(T - 2, M)``.
    """
    share = share[..., None]
    line = (1 - share) * signals[:-2] + share * signals[2:]
    return np.square(signals[1:-1] - line).sum(-1)


def _around(values: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Mean ``(T, M)`` around each frame of values of the inner frames."""
    margin = (len(seconds) - len(values)) // 2
    padded = np.pad(values, ((margin, margin), (0, 0)), 'edge')[..., None]
    bandwidth = np.full((len(seconds), 1), _NEIGHBORHOOD)
    weights = np.ones(len(seconds))
    return _average(padded, seconds, weights, bandwidth)[..., 0]


def _average(
    signals: np.ndarray,
    seconds: np.ndarray,
    weights: np.ndarray,
    bandwidth: np.ndarray,
) -> np.ndarray:
    """Weighted means ``(T, M, D)``; bandwidths ``(T, M or 1)``, seconds."""
    total = signals * weights[:, None, None]
    norm = np.repeat(weights[:, None], bandwidth.shape[1], axis=1)
    reach = _REACH * bandwidth.max()
    for lag in range(1, len(seconds)):
        step = (seconds[lag:] - seconds[:-lag])[:, None]
        if step.min() > reach:
            break
        early, late = slice(None, -lag), slice(lag, None)
        for here, there in ((early, late), (late, early)):
            weight = np.exp(-0.5 * np.square(step / bandwidth[here]))
            weight = weight * weights[there, None]
            total[here] += weight[..., None] * signals[there]
            norm[here] += weight
    return total / norm[..., None]
