# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""One-Euro filters of vectors and of rotations.

Casiez, Roussel, Vogel: 1 Euro filter, CHI 2012: a low-pass filter whose
cut-off frequency grows with the speed of the signal.  It removes jitter at
rest without lag in motion.

Symbols: ``M`` signals filtered in parallel, ``D`` their size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from scipy.spatial.transform import Rotation

Value = TypeVar('Value', np.ndarray, Rotation)


@dataclass(frozen=True)
class OneEuroOptions:
    """How strongly to filter.

    Args:
        min_cutoff: Cut-off frequency at rest, Hz. Lower: less jitter.
        beta: Growth of the cut-off with the speed, Hz per unit per second.
            Higher: less lag.
        speed_cutoff: Cut-off frequency of the speed itself, Hz.

    Raises:
        ValueError: If a frequency is not positive or ``beta`` is negative.
    """

    min_cutoff: float
    beta: float
    speed_cutoff: float = 1.0

    def __post_init__(self) -> None:
        if min(self.min_cutoff, self.speed_cutoff) <= 0 or self.beta < 0:
            raise ValueError(
                'min_cutoff and speed_cutoff must be positive and beta not '
                f'negative, got {self}'
            )


class _OneEuroFilter(Generic[Value]):
    """Base class of the filters; children define differences and steps.

    Args:
        options: Filter strength.
    """

    def __init__(self, options: OneEuroOptions) -> None:
        self.options = options
        self._last: Value | None = None
        self._filtered: Value | None = None
        self._velocity: np.ndarray | float = 0.0

    def __call__(
        self, value: Value, seconds: float, unit: float = 1.0
    ) -> Value:
        """Filter the next value.

        Args:
            value: ``M`` signals.
            seconds: Time since the previous value, positive; ignored for the
                first one.
            unit: Unit of speeds, per second.

        Returns:
            The filtered signals.
        """
        if self._last is None or self._filtered is None:
            self._last = self._filtered = value
            return value
        options = self.options
        velocity = self._difference(self._last, value) / seconds
        rate = _rate(options.speed_cutoff, seconds)
        self._velocity = self._velocity + rate * (velocity - self._velocity)
        speed = np.linalg.norm(self._velocity, axis=-1, keepdims=True) / unit
        rate = _rate(options.min_cutoff + options.beta * speed, seconds)
        step = rate * self._difference(self._filtered, value)
        self._last = value
        self._filtered = self._moved(self._filtered, step)
        return self._filtered

    def _difference(self, start: Value, end: Value) -> np.ndarray:
        """``(M, D)`` steps from ``start`` to ``end``."""
        raise NotImplementedError

    def _moved(self, start: Value, step: np.ndarray) -> Value:
        """``start`` moved by ``step``."""
        raise NotImplementedError


class VectorFilter(_OneEuroFilter[np.ndarray]):
    """Filter of vectors ``(M, D)``; the speed is the norm over ``D``."""

    def _difference(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        return end - start

    def _moved(self, start: np.ndarray, step: np.ndarray) -> np.ndarray:
        return start + step


class RotationFilter(_OneEuroFilter[Rotation]):
    """Filter of ``M`` rotations; speeds are angular, radians per second.

    It moves along the shortest arc between rotations, so jumps of axis-angle
    vectors, such as from pi to -pi, have no effect.
    """

    def _difference(self, start: Rotation, end: Rotation) -> np.ndarray:
        return (start.inv() * end).as_rotvec()

    def _moved(self, start: Rotation, step: np.ndarray) -> Rotation:
        return start * Rotation.from_rotvec(step)


def _rate(cutoff: np.ndarray | float, seconds: float) -> np.ndarray:
    """Smoothing factor in [0, 1] of a time step.

    It is the exact step response of an RC filter: two half steps equal one
    step, so the result does not depend on the frame rate.
    """
    return -np.expm1(-2 * np.pi * np.asarray(cutoff) * seconds)
