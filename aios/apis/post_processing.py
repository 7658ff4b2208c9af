# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Post-processing of frames between the network and the files.

Steps are online: a frame in, a frame out, constant memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aios.results import FrameResult
from aios.tracking import LargestPerson, OneEuroSmoother, Tracker

FrameTransform = Callable[[FrameResult], FrameResult]

LOW_SCORE = 0.1
"""Lowest score at which an existing track is continued."""


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
    """

    track: bool = False
    largest_person: bool = False
    smooth: bool = False
    ground: bool = False

    @property
    def in_order(self) -> bool:
        """Whether results of a frame depend on previous frames."""
        return self.track or self.largest_person or self.smooth or self.ground


def make_processing(
    options: PostProcessing, score_thr: float, fps: float, body_model: Any
) -> list[FrameTransform]:
    """Make the steps of post-processing, in order.

    Args:
        options: Selects the steps.
        score_thr: Lowest score at which a track begins.
        fps: Frames per second.
        body_model: The SMPL-X layer of the results.
    """
    steps: list[FrameTransform] = []
    if not options.in_order:
        return steps
    tracker = Tracker(score_thr, min(score_thr, LOW_SCORE))
    steps.append(tracker.track)
    if options.largest_person:
        steps.append(LargestPerson())
    if options.smooth:
        # Bodies are posed once, after all steps.
        steps.append(OneEuroSmoother(fps, body_model).parameters)
    return steps
