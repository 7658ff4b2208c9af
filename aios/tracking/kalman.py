# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Constant-velocity Kalman filter for boxes.

State: center x and y, aspect ratio and height of a box, and their change per
frame.  The noise is that of DeepSORT (Wojke et al. 2017): proportional to the
height, and constant for the aspect ratio.  A test compares the filter with
MMDetection's ``KalmanFilter``.
"""

from __future__ import annotations

import numpy as np

_POSITION, _VELOCITY = 1 / 20, 1 / 160  # of the height
_MOTION = np.eye(8) + np.eye(8, k=4)


def _noise(
    height: float, position: float, velocity: float, aspect: float
) -> np.ndarray:
    """Covariance ``(8, 8)``; position and velocity are relative to height."""
    stds = np.repeat([position, velocity], 4) * height
    stds[[2, 6]] = aspect, 1e-5
    return np.diag(stds**2)


def initiate(box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean ``(8,)`` and covariance ``(8, 8)`` of a new track.

    Args:
        box: ``(4,)`` center x and y, aspect ratio, height.
    """
    mean = np.concatenate([box, np.zeros(4)])
    return mean, _noise(box[3], 2 * _POSITION, 10 * _VELOCITY, 1e-2)


def predict(
    mean: np.ndarray, covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Predict the state in the next frame.

    Args:
        mean: ``(8,)``.
        covariance: ``(8, 8)``.
    """
    noise = _noise(mean[3], _POSITION, _VELOCITY, 1e-2)
    return _MOTION @ mean, _MOTION @ covariance @ _MOTION.T + noise


def update(
    mean: np.ndarray, covariance: np.ndarray, box: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Correct the predicted state by a detected box.

    Args:
        mean: ``(8,)`` from :func:`predict`.
        covariance: ``(8, 8)`` from :func:`predict`.
        box: See :func:`initiate`.
    """
    noise = _noise(mean[3], _POSITION, 0, 1e-1)
    innovation = covariance[:4, :4] + noise[:4, :4]
    gain = np.linalg.solve(innovation, covariance[:4]).T
    return (
        mean + gain @ (box - mean[:4]),
        covariance - gain @ innovation @ gain.T,
    )
