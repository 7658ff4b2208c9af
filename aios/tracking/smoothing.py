# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Temporal smoothing of tracked persons, frame by frame.

Symbols: ``n`` persons of a frame, ``J`` = 55 rotations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from aios.results import SMPLX_ARGUMENTS, FrameResult
from aios.results.poses import PoseRotations

from .one_euro import OneEuroOptions, RotationFilter, VectorFilter

if TYPE_CHECKING:
    from torch import nn

_FORGET = 60.0  # seconds after which a missing person is forgotten
MIN_DEPTH = 0.05
"""Meters; directions of nearer points are unstable."""


@dataclass(frozen=True)
class SmoothingOptions:
    """Filter strength by quantity; see :class:`OneEuroOptions`.

    Args:
        rotations: Rotations of all joints; speeds in radians per second.
        direction: Ray from the camera to the pelvis; speeds in image sizes
            (longer sides) per second.
        depth: Logarithm of the depth of the pelvis; speeds per second.
        expression: Expression coefficients.
        max_gap: Seconds after which the filters of a missing person are
            reset; the mean shape is kept.
    """

    rotations: OneEuroOptions = OneEuroOptions(1.2, 0.8)
    direction: OneEuroOptions = OneEuroOptions(2.0, 20.0)
    depth: OneEuroOptions = OneEuroOptions(0.7, 1.0)
    expression: OneEuroOptions = OneEuroOptions(1.5, 0.5)
    max_gap: float = 0.5


class _Filters:
    """Filters of one person."""

    def __init__(self, options: SmoothingOptions) -> None:
        self.rotations = RotationFilter(options.rotations)
        self.direction = VectorFilter(options.direction)
        self.depth = VectorFilter(options.depth)
        self.expression = VectorFilter(options.expression)


@dataclass
class MeanShape:
    """Weighted mean of the shapes of a person.

    A shape is ``(13,)``: ``betas``, and the pelvis relative to ``transl``,
    which is linear in them.
    """

    weight: float = 0.0
    value: np.ndarray = field(default_factory=lambda: np.zeros(13))

    def add(self, instances: Mapping[str, np.ndarray], row: int) -> np.ndarray:
        """Add a person of a frame, and return the mean."""
        rest = instances['joints3d'][row, 0] - instances['transl'][row]
        shape = np.concatenate([instances['betas'][row], rest]).astype(float)
        weight = max(float(instances['scores'][row]), 1e-3)
        self.weight += weight
        self.value = self.value + weight / self.weight * (shape - self.value)
        return self.value


@dataclass
class _State:
    """State of one person, of constant size."""

    filters: _Filters
    seen: float
    shape: MeanShape = field(default_factory=MeanShape)


class OneEuroSmoother:
    """Online smoothing, frame by frame, per ``person_id``.

    - Rotations are filtered as rotations.
    - The position of the pelvis is filtered as a direction and a depth: the
      depth is much less certain than the position in the image, and smoothing
      must not move the body off the person.
    - The shape is the running mean, weighted by scores.
    - The body model computes joints and meshes from the smoothed parameters.

    Boxes and ``keypoints`` are not changed.

    Args:
        fps: Frames per second, used where timestamps do not increase.
        body_model: SMPL-X layer of the results, or its config. With ``None``
            joints and meshes are only translated.
        options: Filter strength.

    Raises:
        ValueError: If ``fps`` is not positive.
    """

    def __init__(
        self,
        fps: float = 30.0,
        body_model: dict | nn.Module | None = None,
        options: SmoothingOptions | None = None,
    ) -> None:
        if not 0 < fps < np.inf:
            raise ValueError(f'fps must be positive, got {fps}')
        self._poser = None
        if body_model is not None:
            from aios.body_models import BodyPoser

            self._poser = BodyPoser(body_model)
        layer = None if self._poser is None else self._poser.layer()
        self._poses = PoseRotations(layer)
        self.fps = fps
        self.options = options or SmoothingOptions()
        self.reset()

    def reset(self) -> None:
        """Forget all persons."""
        self._states: dict[int, _State] = {}
        self._time = 0.0
        self._timestamp = 0.0

    def __call__(self, frame: FrameResult) -> FrameResult:
        """Smooth the next frame.

        Args:
            frame: With ids of a tracker.

        Returns:
            The same persons, smoothed.
        """
        return self._posed(self.parameters(frame))

    def _posed(self, frame: FrameResult) -> FrameResult:
        """The frame with joints, and meshes if any, from its parameters."""
        if self._poser is None:
            return frame
        return frame.posed(self._poser, 'vertices' in frame.instances)

    def parameters(self, frame: FrameResult) -> FrameResult:
        """Smooth the next frame; joints and meshes are only translated."""
        step = frame.timestamp - self._timestamp
        self._time += step if step > 0 else 1 / self.fps
        self._timestamp = frame.timestamp
        self._states = {
            key: state
            for key, state in self._states.items()
            if self._time - state.seen <= _FORGET
        }
        rows = [self._person(frame, row) for row in range(len(frame))]
        return frame.with_rows(rows)

    def _person(self, frame: FrameResult, row: int) -> dict[str, np.ndarray]:
        person = {
            name: frame.instances[name][row].astype(np.float64)
            for name in (*SMPLX_ARGUMENTS, 'joints3d')
        }
        state, seconds = self._state(int(frame.instances['person_id'][row]))
        filters = state.filters
        rotations = filters.rotations(self._poses.rotations(person), seconds)
        poses = self._poses.poses(rotations)
        out = {name: value[0] for name, value in poses.items()}
        expression = filters.expression(person['expression'][None], seconds)
        out['expression'] = expression[0]
        pelvis = person['joints3d'][0]
        mean = state.shape.add(frame.instances, row)
        # Speeds in the image do not depend on the focal length.
        size = max(frame.size) / frame.K[0, 0]
        position = _position(filters, pelvis, seconds, size)
        out['betas'] = mean[:-3]
        out['transl'] = position - mean[-3:]
        for name in {'joints3d', 'vertices'} & set(frame.instances):
            out[name] = frame.instances[name][row] + (position - pelvis)
        return out

    def _state(self, person: int) -> tuple[_State, float]:
        """State of a person, and seconds since the last frame with it."""
        state = self._states.get(person)
        if state is None:
            state = _State(_Filters(self.options), self._time)
            self._states[person] = state
        seconds = self._time - state.seen
        if seconds > self.options.max_gap:
            state.filters = _Filters(self.options)
        state.seen = self._time
        return state, seconds


def _position(
    filters: _Filters, pelvis: np.ndarray, seconds: float, size: float
) -> np.ndarray:
    """Filtered position of the pelvis ``(3,)``.

    Args:
        filters: Of the person.
        pelvis: ``(3,)`` meters.
        seconds: Since the last frame with the person.
        size: Longer side of the image in focal lengths.
    """
    if pelvis[2] < MIN_DEPTH:
        return pelvis
    direction = filters.direction(pelvis[None, :2] / pelvis[2], seconds, size)
    depth = np.exp(filters.depth(np.log(pelvis[None, 2:]), seconds))[0]
    return np.concatenate([direction[0] * depth, depth])
