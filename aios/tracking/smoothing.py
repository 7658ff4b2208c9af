# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Temporal smoothing of tracked persons.

Symbols: ``n`` persons of a frame, ``J`` = 55 rotations.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.transform import Rotation

from aios.results import SMPLX_ARGUMENTS, FrameResult, SequenceResult

from .body import Body
from .one_euro import OneEuroOptions, RotationFilter, VectorFilter

if TYPE_CHECKING:
    from torch import nn

_FORGET = 60.0  # seconds after which a missing person is forgotten
_NEAREST = 0.05  # metres in front of the camera


@dataclass(frozen=True)
class SmoothingOptions:
    """How strongly to smooth what; see :class:`OneEuroOptions`.

    Args:
        rotations: Of all joints; speeds in radians per second.
        direction: Of the ray from the camera to the pelvis; speeds in focal
            lengths per second.
        depth: Of the logarithm of the pelvis' depth; speeds per second.
        expression: Of the coefficients of the expression.
        max_gap: Seconds after which the filters of a missing person start
            anew; the mean shape goes on.
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
class _Mean:
    """Mean of vectors, weighted."""

    weight: float = 0.0
    value: np.ndarray | float = 0.0

    def add(self, value: np.ndarray, weight: float) -> np.ndarray:
        self.weight += weight
        share = weight / self.weight
        self.value = self.value + share * (value - self.value)
        return np.asarray(self.value)


@dataclass
class _State:
    """What is known of a person: constant memory."""

    filters: _Filters
    seen: float
    shape: _Mean = field(default_factory=_Mean)


class OneEuroSmoother:
    """Online smoothing, frame by frame, per ``person_id``.

    - Rotations are filtered as rotations.
    - The position of the pelvis is filtered as a direction and a depth: the
      depth is much less certain than the place in the image, and smoothing
      must not move the body off the person.
    - The shape is the mean so far, weighted by scores.
    - Joints and meshes are computed anew by the body model.

    Boxes and ``keypoints`` are left as they were found.

    Args:
        fps: Frames per second where timestamps do not tell.
        body_model: SMPL-X layer or its config, the one the results were made
            with. ``None``, for callers who pose bodies themselves: joints
            and meshes are only moved.
        options: How strongly to smooth.

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
        self._body = Body(self._poser)
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
        """The frame with joints, and meshes if any, of its parameters."""
        if self._poser is None:
            return frame
        return frame.posed(self._poser, 'vertices' in frame.instances)

    def parameters(self, frame: FrameResult) -> FrameResult:
        """The same, but joints and meshes are only moved."""
        step = frame.timestamp - self._timestamp
        self._time += step if step > 0 else 1 / self.fps
        self._timestamp = frame.timestamp
        self._states = {
            key: state
            for key, state in self._states.items()
            if self._time - state.seen <= _FORGET
        }
        rows = [self._person(frame, row) for row in range(len(frame))]
        return _with_rows(frame, rows)

    def _person(self, frame: FrameResult, row: int) -> dict[str, np.ndarray]:
        sequence = {
            name: frame.instances[name][row].astype(np.float64)
            for name in (*SMPLX_ARGUMENTS, 'joints3d')
        }
        state, seconds = self._state(int(frame.instances['person_id'][row]))
        filters = state.filters
        turns = filters.rotations(self._body.rotations(sequence), seconds)
        out = self._body.poses(turns)
        expression = filters.expression(sequence['expression'][None], seconds)
        out['expression'] = expression[0]
        # The pelvis of the rest pose is linear in the shape, as the mean is.
        pelvis = sequence['joints3d'][0]
        shape = np.concatenate(
            [sequence['betas'], pelvis - sequence['transl']]
        )
        weight = max(float(frame.instances['scores'][row]), 1e-3)
        mean = state.shape.add(shape, weight)
        position = _position(filters, pelvis, seconds)
        out['betas'] = mean[:-3]
        out['transl'] = position - mean[-3:]
        for name in {'joints3d', 'vertices'} & set(frame.instances):
            out[name] = frame.instances[name][row] + (position - pelvis)
        return out

    def _state(self, person: int) -> tuple[_State, float]:
        """State of a person and the seconds since the last sighting."""
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
    filters: _Filters, pelvis: np.ndarray, seconds: float
) -> np.ndarray:
    """Filtered position of the pelvis ``(3,)``."""
    if pelvis[2] < _NEAREST:
        return pelvis  # has no direction
    direction = filters.direction(pelvis[None, :2] / pelvis[2], seconds)
    depth = np.exp(filters.depth(np.log(pelvis[None, 2:]), seconds))[0]
    return np.concatenate([direction[0] * depth, depth])


def smooth_sequence(
    sequence: SequenceResult,
    body_model: dict | nn.Module,
    options: SmoothingOptions | None = None,
    zero_lag: bool = True,
) -> SequenceResult:
    """Smooth a whole sequence.

    Args:
        sequence: With ids of a tracker.
        body_model: See :class:`OneEuroSmoother`.
        options: How strongly to smooth.
        zero_lag: Filter forwards and backwards and take the middle, so that
            nothing comes late, and use the mean shape of all frames.
            Otherwise do what the online filter does.

    Returns:
        The same persons, smoothed.

    Raises:
        ValueError: If the bodies have no SMPL-X parameters.
    """
    sequence.check_parameters()
    smoother = OneEuroSmoother(sequence.fps or 30.0, body_model, options)
    body = smoother._body
    frames = list(sequence.frames())
    smoothed = [smoother.parameters(frame) for frame in frames]
    if zero_lag:
        smoother.reset()
        backward = [smoother.parameters(f) for f in _reversed(frames)][::-1]
        shapes = _mean_shapes(sequence)
        smoothed = [
            _middle(body, *frames, shapes)
            for frames in zip(frames, smoothed, backward, strict=True)
        ]
    smoothed = [smoother._posed(frame) for frame in smoothed]
    rows = SequenceResult.from_frames(smoothed)
    changed = (*SMPLX_ARGUMENTS, 'joints3d', 'joints2d', 'vertices')
    return replace(sequence, **{name: getattr(rows, name) for name in changed})


def _reversed(frames: list[FrameResult]) -> Iterable[FrameResult]:
    """The frames from the last to the first, with time running forwards."""
    end = frames[-1].timestamp if frames else 0.0
    for frame in reversed(frames):
        yield replace(frame, timestamp=end - frame.timestamp)


def _mean_shapes(sequence: SequenceResult) -> dict[int, np.ndarray]:
    """By id: ``(13,)`` coefficients, and pelvis relative to translation."""
    rest = sequence.joints3d[:, 0] - sequence.transl
    shapes = np.concatenate([sequence.betas, rest], axis=1)
    weights = np.maximum(sequence.scores, 1e-3)
    return {
        key: np.average(shapes[rows], axis=0, weights=weights[rows])
        for key in sequence.person_ids.tolist()
        for rows in [sequence.person_id == key]
    }


def _middle(
    body: Body,
    frame: FrameResult,
    forward: FrameResult,
    backward: FrameResult,
    shapes: dict[int, np.ndarray],
) -> FrameResult:
    """Half-way between two ways to smooth a frame."""
    rows = []
    for row, person in enumerate(frame.instances['person_id'].tolist()):
        one, other = (
            {name: value[row] for name, value in passed.instances.items()}
            for passed in (forward, backward)
        )
        start, end = body.rotations(one), body.rotations(other)
        arc = (start.inv() * end).as_rotvec()
        out = body.poses(start * Rotation.from_rotvec(arc / 2))
        out['expression'] = (one['expression'] + other['expression']) / 2
        pelvis = (one['joints3d'][0] + other['joints3d'][0]) / 2
        out['betas'] = shapes[person][:-3]
        out['transl'] = pelvis - shapes[person][-3:]
        rows.append(out)
    return _with_rows(frame, rows)


def _with_rows(
    frame: FrameResult, rows: list[dict[str, np.ndarray]]
) -> FrameResult:
    """The frame with other values for its persons, one dict each."""
    if not rows:
        return frame
    return frame.with_fields(
        **{name: np.stack([row[name] for row in rows]) for name in rows[0]}
    )
