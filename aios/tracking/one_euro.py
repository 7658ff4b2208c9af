# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""One-Euro filters of vectors and of rotations.

Casiez, Roussel, Vogel: 1 Euro filter, CHI 2012: a low-pass filter whose
cut-off frequency grows with the speed of the signal, so that what stands
still does not tremble and what moves does not lag behind.

Symbols: ``M`` signals that are filtered side by side, ``D`` their size.
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
        min_cutoff: Cut-off frequency at rest, Hz. Lower: less trembling.
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
    """The filter, for values that can be compared and moved.

    Args:
        options: How strongly to filter.
    """

    def __init__(self, options: OneEuroOptions) -> None:
        self.options = options
        self._last: Value | None = None
        self._filtered: Value | None = None
        self._velocity: np.ndarray | float = 0.0

    def __call__(self, value: Value, seconds: float) -> Value:
        """Filter the next value.

        Args:
            value: ``M`` signals.
            seconds: Time since the value before, positive; does not matter
                for the first one.

        Returns:
            The filtered signals.
        """
        if self._last is None or self._filtered is None:
            self._last = self._filtered = value
            return value
        options = self.options
        velocity = self._difference(self._last, value) / seconds
        share = _share(options.speed_cutoff, seconds)
        self._velocity = self._velocity + share * (velocity - self._velocity)
        speed = np.linalg.norm(self._velocity, axis=-1, keepdims=True)
        share = _share(options.min_cutoff + options.beta * speed, seconds)
        step = share * self._difference(self._filtered, value)
        self._last = value
        self._filtered = self._moved(self._filtered, step)
        return self._filtered

    def _difference(self, start: Value, end: Value) -> np.ndarray:
        """``(M, D)`` what leads from one value to the other."""
        raise NotImplementedError

    def _moved(self, start: Value, step: np.ndarray) -> Value:
        """The value that lies ``step`` away."""
        raise NotImplementedError


class VectorFilter(_OneEuroFilter[np.ndarray]):
    """Filter of vectors ``(M, D)``; a speed is the length of ``D`` numbers."""

    def _difference(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        return end - start

    def _moved(self, start: np.ndarray, step: np.ndarray) -> np.ndarray:
        return start + step


class RotationFilter(_OneEuroFilter[Rotation]):
    """Filter of ``M`` rotations; speeds are angular, radians per second.

    It moves along the shortest arc between rotations, so it knows neither
    the jump from pi to -pi nor any other of the axis-angle vector.
    """

    def _difference(self, start: Rotation, end: Rotation) -> np.ndarray:
        return (start.inv() * end).as_rotvec()

    def _moved(self, start: Rotation, step: np.ndarray) -> Rotation:
        return start * Rotation.from_rotvec(step)


def _share(cutoff: np.ndarray | float, seconds: float) -> np.ndarray:
    """Share of the way to a new value after some time.

    That of an RC filter, exactly: two half steps go as far as one step, so
    the frame rate does not matter.
    """
    return -np.expm1(-2 * np.pi * np.asarray(cutoff) * seconds)
