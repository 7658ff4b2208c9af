# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Detect camera motion in a video, for ``--ground``."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np

from aios.results import FrameResult

from .writers import FrameWriter

_SIZE = 160  # longer side of compared images, pixels
_LAG = 8  # frames between compared images
_SHIFT = 0.5  # threshold in pixels of compared images
_RESPONSE = 0.1  # correlations with a lower response are ignored
_SHARE = 0.2  # threshold of the fraction of pairs


class CameraMotion(FrameWriter):
    """Compare the background of frames; no files are written.

    Small gray images are registered by phase correlation, with the boxes of
    persons masked.  Slow motion of the camera, and motion in images without
    texture, is not detected.
    """

    per_frame = False
    needs_image = True

    def __init__(self) -> None:
        self.pairs = self.shifted = 0
        self._before: deque[tuple[np.ndarray, np.ndarray]] = deque(maxlen=_LAG)

    @property
    def share(self) -> float:
        """Fraction of the pairs of frames with a shifted background."""
        return self.shifted / max(self.pairs, 1)

    @property
    def moves(self) -> bool:
        """Whether the camera moves for a considerable part of the time."""
        return self.share > _SHARE

    def write(  # noqa: D102
        self, frame: FrameResult, image: np.ndarray | None
    ) -> None:
        if image is None:
            return
        # The image may be smaller than the original.
        scale = _SIZE / max(image.shape[:2])
        width, height = (round(scale * n) for n in image.shape[1::-1])
        small = cv2.resize(
            cv2.cvtColor(image, cv2.COLOR_RGB2GRAY),
            (max(width, 8), max(height, 8)),
            interpolation=cv2.INTER_AREA,
        ).astype(np.float32)
        boxes = frame.instances['bboxes'] * (_SIZE / max(frame.size))
        if len(self._before) == _LAG:
            old, others = self._before[0]
            if old.shape == small.shape:
                self._compare(old, small, np.concatenate([others, boxes]))
        self._before.append((small, boxes))

    def _compare(
        self, old: np.ndarray, new: np.ndarray, boxes: np.ndarray
    ) -> None:
        seen = np.ones(new.shape, bool)
        for box in boxes:
            x0, y0 = np.maximum(np.floor(box[:2]), 0).astype(int)
            x1, y1 = np.maximum(np.ceil(box[2:]), 0).astype(int)
            seen[y0:y1, x0:x1] = False
        if not seen.any() or old[seen].std() < 1 or new[seen].std() < 1:
            return
        pair = [np.where(seen, im, im[seen].mean()) for im in (old, new)]
        window = cv2.createHanningWindow(new.shape[::-1], cv2.CV_32F)
        shift, response = cv2.phaseCorrelate(pair[0], pair[1], window)
        if response < _RESPONSE:
            return
        self.pairs += 1
        self.shifted += bool(np.linalg.norm(shift) > _SHIFT)
