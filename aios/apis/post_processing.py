# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Post-processing of frames between the network and the files.

Steps are online: a frame in, a frame out, constant memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aios.results import FrameResult
from aios.tracking import LargestPerson, OneEuroSmoother, Tracker

from .frame_inferencer import FrameInferencer

FrameTransform = Callable[[FrameResult], FrameResult]

LOW_SCORE = 0.1
"""Lowest score at which an existing track is continued."""

_MAX_SHOWN = 10  # cuts


@dataclass(frozen=True)
class PostProcessing:
    """Options of post-processing.

    Args:
        track: Give persons the same id in all frames.
        largest_person: Keep one person, the largest; implies ``track``.
        smooth: Smooth the motion; implies ``track``. Videos and sessions of
            a camera are smoothed after their last frame
            (:func:`~aios.tracking.smooth_frames`), separate images and what
            is shown and sent during a session frame by frame
            (:class:`~aios.tracking.OneEuroSmoother`).
        ground: Ground persons after the last frame; implies ``track``.
        fill_gaps: Largest number of frames without a person that are
            interpolated after the last frame (:func:`aios.tracking.fill_gaps`)
            of a video or a session of a camera; implies ``track``.

    Raises:
        ValueError: If ``fill_gaps`` is negative.
    """

    track: bool = False
    largest_person: bool = False
    smooth: bool = False
    ground: bool = False
    fill_gaps: int = 0

    def __post_init__(self) -> None:
        if self.fill_gaps < 0:
            raise ValueError(
                f'fill_gaps must not be negative, got {self.fill_gaps}'
            )

    @property
    def in_order(self) -> bool:
        """Whether results of a frame depend on previous frames."""
        return self != PostProcessing()

    @property
    def edits_file(self) -> bool:
        """Whether a step needs the file of all frames, and changes it."""
        return self.ground or self.fill_gaps > 0


def make_tracker(score_thr: float) -> Tracker:
    """Make a tracker of persons down to :data:`LOW_SCORE`.

    Args:
        score_thr: Lowest score at which a track begins.
    """
    return Tracker(score_thr, min(score_thr, LOW_SCORE))


def make_processing(
    options: PostProcessing, tracker: Tracker, fps: float, body_model: Any
) -> list[FrameTransform]:
    """Make the steps of post-processing, in order.

    Args:
        options: Selects the steps.
        tracker: See :func:`make_tracker`.
        fps: Frames per second.
        body_model: The SMPL-X layer of the results.
    """
    steps: list[FrameTransform] = []
    if not options.in_order:
        return steps
    steps.append(tracker.track)
    if options.largest_person:
        steps.append(LargestPerson(tracker=tracker))
    if options.smooth:
        # Bodies are posed once, after all steps.
        steps.append(OneEuroSmoother(fps, body_model).parameters)
    return steps


def describe_cuts(cuts: Sequence[int]) -> str:
    """Describe the cuts of a video.

    Args:
        cuts: See :class:`~aios.tracking.Tracker`; at least one.
    """
    shown = ', '.join(map(str, cuts[:_MAX_SHOWN]))
    more = len(cuts) - _MAX_SHOWN
    plural = 's' * (len(cuts) > 1)
    return f'the video is cut at frame{plural} {shown}' + (
        f' and {more} more' if more > 0 else ''
    )


def prediction_options(
    inferencer: FrameInferencer, processing: PostProcessing
) -> dict[str, Any]:
    """Options of ``predict`` of an inferencer that post-processing needs."""
    if not processing.in_order:
        return {}
    lowest = min(inferencer.instance_filter.score_thr, LOW_SCORE)
    return {'score_thr': lowest}
