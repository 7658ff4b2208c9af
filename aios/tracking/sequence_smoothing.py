# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Temporal smoothing of finished sequences.

Unlike :class:`aios.tracking.OneEuroSmoother` it also uses later frames, so
results do not lag behind, and its strength follows from the noise.

Symbols: ``T`` frames of a track, ``J`` = 55 rotations.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial.transform import Rotation

from aios.results import SMPLX_ARGUMENTS, FrameResult, SequenceResult
from aios.results.poses import PoseRotations
from aios.structures.procrustes import nearest_rotation

from .kernel_smoothing import smooth_signals
from .smoothing import MIN_DEPTH, MeanShape

if TYPE_CHECKING:
    from torch import nn

_BLOCK, _MARGIN = 2000, 500  # frames smoothed at once, and their neighbors
_MAX_GAP = 0.5  # seconds; tracks are smoothed separately before and after
_MIN_WEIGHT = 0.05  # of persons with a lower score


def mean_shapes(frames: Iterable[FrameResult]) -> dict[int, np.ndarray]:
    """Mean shape of each person, see :class:`MeanShape`, by id."""
    means: dict[int, MeanShape] = defaultdict(MeanShape)
    for frame in frames:
        for row, person in enumerate(frame.instances['person_id'].tolist()):
            means[person].add(frame.instances, row)
    return {person: mean.value for person, mean in means.items()}


def smooth_sequence(
    sequence: SequenceResult, body_model: dict | nn.Module
) -> SequenceResult:
    """Smooth a whole sequence; see :func:`smooth_frames`.

    Args:
        sequence: With ids of a tracker.
        body_model: SMPL-X layer of the results, or its config.

    Returns:
        The same persons, smoothed.

    Raises:
        ValueError: If the bodies have no SMPL-X parameters.
    """
    sequence.check_parameters()
    shapes = mean_shapes(sequence.frames())
    frames = smooth_frames(
        sequence.frames(), body_model, shapes, sequence.fps or 30.0
    )
    return SequenceResult.from_frames(frames, **sequence.metadata)


def smooth_frames(
    frames: Iterable[FrameResult],
    body_model: Any,
    shapes: Mapping[int, np.ndarray],
    fps: float,
) -> Iterator[FrameResult]:
    """Smooth frames of any number, in blocks of constant size.

    - Rotations are averaged as matrices, each joint with its own strength.
    - The position of the pelvis is smoothed as a direction and a depth: the
      depth is much less certain than the position in the image, and smoothing
      must not move the body off the person.
    - Persons have one shape in all frames.
    - The body model computes joints and meshes from the smoothed parameters.

    Boxes and ``keypoints`` are not changed.  Frames with higher scores count
    more.

    Args:
        frames: With ids of a tracker.
        body_model: SMPL-X layer of the results, or its config.
        shapes: See :func:`mean_shapes`.
        fps: Frames per second, used where timestamps do not ascend.

    Yields:
        The same frames and persons.
    """
    smoother = _Smoother(body_model, shapes, fps)
    window: list[FrameResult] = []
    begin = 0  # number of frames that are there for the following ones only
    for frame in frames:
        window.append(frame)
        end = begin + _BLOCK
        if len(window) == end + _MARGIN:
            yield from smoother.smooth(window, begin, end)
            begin = min(end, _MARGIN)
            window = window[end - begin :]
    yield from smoother.smooth(window, begin)


class _Smoother:
    """Smooths windows of frames; arguments as :func:`smooth_frames`."""

    def __init__(
        self, body_model: Any, shapes: Mapping[int, np.ndarray], fps: float
    ) -> None:
        from aios.body_models import BodyPoser

        self.poser = BodyPoser(body_model)
        self.poses = PoseRotations(self.poser.layer())
        self.shapes, self.fps = shapes, fps

    def smooth(
        self, window: list[FrameResult], begin: int, end: int | None = None
    ) -> Iterator[FrameResult]:
        """Smooth a window, and yield a part of its frames."""
        persons = SequenceResult.from_frames(window, fps=self.fps)
        smooth = self._parameters(persons)
        for number, frame in list(enumerate(window))[begin:end]:
            rows = persons.rows(number)
            parameters = {name: smooth[name][rows] for name in SMPLX_ARGUMENTS}
            yield frame.with_fields(**parameters).posed(
                self.poser, 'vertices' in frame.instances
            )

    def _parameters(self, persons: SequenceResult) -> dict[str, np.ndarray]:
        """Smoothed parameters of all persons."""
        seconds = persons.times()[persons.frame_index].astype(float)
        smooth = {n: value.copy() for n, value in persons.parameters().items()}
        for person in persons.person_ids.tolist():
            rows = np.flatnonzero(persons.person_id == person)
            cuts = np.flatnonzero(np.diff(seconds[rows]) > _MAX_GAP) + 1
            for piece in np.split(rows, cuts):
                track = _track(
                    persons,
                    piece,
                    seconds[piece],
                    self.poses,
                    self.shapes[person],
                )
                for name, values in track.items():
                    smooth[name][piece] = values
        return smooth


def _track(
    persons: SequenceResult,
    rows: np.ndarray,
    seconds: np.ndarray,
    poses: PoseRotations,
    shape: np.ndarray,
) -> dict[str, np.ndarray]:
    """Smoothed parameters ``(T, ...)`` of consecutive frames of a person."""
    weights = np.maximum(persons.scores[rows].astype(float), _MIN_WEIGHT)
    turns = poses.rotations(persons.parameters(rows)).as_matrix()
    turns = turns.reshape(len(rows), -1, 9)
    turns = smooth_signals(turns, seconds, weights).reshape(-1, 3, 3)
    track = poses.poses(Rotation.from_matrix(nearest_rotation(turns)))
    expression = persons.expression[rows, None].astype(float)
    track['expression'] = smooth_signals(expression, seconds, weights)[:, 0]
    place = persons.joints3d[rows, 0].astype(float)
    ahead = place[:, 2] >= MIN_DEPTH
    place[ahead] = _positions(place[ahead], seconds[ahead], weights[ahead])
    track['transl'] = place - shape[10:]
    track['betas'] = np.broadcast_to(shape[:10], (len(rows), 10))
    return track


def _positions(
    points: np.ndarray, seconds: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Smoothed points ``(T, 3)`` before the camera."""
    direction, depth = (
        smooth_signals(values[:, None], seconds, weights)[:, 0]
        for values in (points[:, :2] / points[:, 2:], np.log(points[:, 2:]))
    )
    depth = np.exp(depth)
    return np.concatenate([direction * depth, depth], axis=1)
