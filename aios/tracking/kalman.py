# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Where boxes are expected: a Kalman filter of constant velocity.

State: centre x and y, aspect ratio and height of a box, and their change per
frame.  The noise is that of DeepSORT (Wojke et al. 2017): shares of the
height, and constants for the aspect ratio; MMDetection's ``KalmanFilter``
has the same, and a test compares them.
"""

from __future__ import annotations

import numpy as np

_POSITION, _VELOCITY = 1 / 20, 1 / 160  # of the height
_MOTION = np.eye(8) + np.eye(8, k=4)


def _noise(
    height: float, position: float, velocity: float, aspect: float
) -> np.ndarray:
    """Covariance ``(8, 8)``; positions and velocities in heights."""
    shares = np.repeat([position, velocity], 4) * height
    shares[[2, 6]] = aspect, 1e-5
    return np.diag(shares**2)


def initiate(box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean ``(8,)`` and covariance ``(8, 8)`` of a box seen once.

    Args:
        box: ``(4,)`` centre x and y, aspect ratio, height.
    """
    mean = np.concatenate([box, np.zeros(4)])
    return mean, _noise(box[3], 2 * _POSITION, 10 * _VELOCITY, 1e-2)


def predict(
    mean: np.ndarray, covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The state of the next frame.

    Args:
        mean: ``(8,)``.
        covariance: ``(8, 8)``.
    """
    noise = _noise(mean[3], _POSITION, _VELOCITY, 1e-2)
    return _MOTION @ mean, _MOTION @ covariance @ _MOTION.T + noise


def update(
    mean: np.ndarray, covariance: np.ndarray, box: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The state once the box was seen.

    Args:
        mean: ``(8,)`` of :func:`predict`.
        covariance: ``(8, 8)`` of it.
        box: See :func:`initiate`.
    """
    seen = covariance[:4, :4] + _noise(mean[3], _POSITION, 0, 1e-1)[:4, :4]
    gain = np.linalg.solve(seen, covariance[:4]).T
    return (
        mean + gain @ (box - mean[:4]),
        covariance - gain @ seen @ gain.T,
    )
