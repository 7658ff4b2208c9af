# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Select one person."""

from __future__ import annotations

import numpy as np

from aios.results import FrameResult

from .tracker import Tracker


def largest_person(frame: FrameResult) -> FrameResult:
    """The person with the largest box; none if the frame has none."""
    if not len(frame):
        return frame
    return frame.select([int(_areas(frame.instances['bboxes']).argmax())])


class LargestPerson:
    """Follow the largest person of a video, frame by frame.

    The same person is kept until another one is clearly larger, or the person
    has been missing for some time.

    Args:
        margin: Factor by which another box must be larger.
        max_gap: Frames for which the person may be missing.
        tracker: Tracker of the frames; at its cuts another person may be
            chosen at once.

    Raises:
        ValueError: If ``margin`` is less than 1 or ``max_gap`` negative.
    """

    def __init__(
        self,
        margin: float = 1.5,
        max_gap: int = 30,
        tracker: Tracker | None = None,
    ) -> None:
        if margin < 1 or max_gap < 0:
            raise ValueError(
                'margin must be at least 1 and max_gap at least 0, got '
                f'{margin} and {max_gap}'
            )
        self.margin = margin
        self.max_gap = max_gap
        self.tracker = tracker
        self._chosen: int | None = None
        self._missed = 0
        self._cuts = 0

    def __call__(self, frame: FrameResult) -> FrameResult:
        """Select the person in the next frame.

        Args:
            frame: With ids of a tracker.

        Returns:
            The frame with at most one person.
        """
        cuts = len(self.tracker.cuts) if self.tracker else 0
        if cuts != self._cuts:
            self._chosen, self._cuts = None, cuts
        largest = largest_person(frame)
        same = frame.select(frame.instances['person_id'] == self._chosen)
        self._missed = 0 if len(same) else self._missed + 1
        if len(same):
            sizes = [_areas(f.instances['bboxes'])[0] for f in (largest, same)]
            stays = sizes[0] <= self.margin * sizes[1]
        else:
            stays = self._chosen is not None and self._missed <= self.max_gap
        if stays:
            return same
        if len(largest):
            self._chosen = int(largest.instances['person_id'][0])
            self._missed = 0
        return largest


def _areas(boxes: np.ndarray) -> np.ndarray:
    return np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(-1)
