# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""What happens to frames between the network and the files.

Everything here is online: a frame in, a frame out, constant memory.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aios.results import FrameResult
from aios.tracking import LargestPerson, OneEuroSmoother, Tracker

__all__ = ['LOW_SCORE', 'Processing', 'make_processing']

Step = Callable[[FrameResult], FrameResult]

LOW_SCORE = 0.1
"""Down to here somebody who is followed may become."""


@dataclass(frozen=True)
class Processing:
    """What is wanted.

    Args:
        track: Give people the same id in all frames.
        largest_person: Keep one person, the largest; implies ``track``.
        smooth: Take the jitter out of motion; implies ``track``.
    """

    track: bool = False
    largest_person: bool = False
    smooth: bool = False

    @property
    def in_order(self) -> bool:
        """Whether a frame depends on those before."""
        return self.track or self.largest_person or self.smooth


def make_processing(
    wanted: Processing, score_thr: float, fps: float, body_model: Any
) -> list[Step]:
    """Steps in the order in which they are applied.

    Args:
        wanted: What is wanted.
        score_thr: Score from which somebody unknown is followed.
        fps: Frames per second.
        body_model: The SMPL-X layer of the results.
    """
    steps: list[Step] = []
    if not wanted.in_order:
        return steps
    tracker = Tracker(score_thr, min(score_thr, LOW_SCORE))
    steps.append(tracker.track)
    if wanted.largest_person:
        steps.append(LargestPerson())
    if wanted.smooth:
        # Bodies are posed once, after all steps.
        steps.append(OneEuroSmoother(fps, body_model).parameters)
    return steps
