# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Online tracking of persons.

The scheme is that of ByteTrack (Zhang et al., ECCV 2022): confident
detections are assigned first, the others only continue tracks; a Kalman filter
predicts the boxes.  Similarity combines boxes, joints, distances from the
camera and colors, as boxes alone do not distinguish persons who pass each
other.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from aios.results import APPEARANCE_SHAPE, FrameResult
from aios.structures import PELVIS, pairwise_iou
from aios.structures.keypoint_similarity import oks

from . import kalman
from .appearance import (
    SCENE,
    appearance_similarity,
    is_cut,
    mean_appearance,
)
from .association import (
    BODY_JOINTS,
    assign,
    depth_similarity,
)

_ASPECT_RATE, _HEIGHT_RATE = 6, 7  # entries of the Kalman filter's state


@dataclass
class _Track:
    """State of one person, of constant size.

    Attributes:
        mean, covariance: State of the Kalman filter: center, aspect ratio
            and height of the box, and their change per frame.
        joints: ``(17, 2)`` of the last detection, relative to the box: 0 at
            its center, in units of its height.
        depth: Running mean of the depth of the pelvis, meters.
        colors: ``(2, 64)`` running mean of the histograms; 0 if unknown.
        hits: Number of frames with the person.
        missed: Frames since the last hit.
    """

    mean: np.ndarray
    covariance: np.ndarray
    joints: np.ndarray
    depth: float
    colors: np.ndarray
    hits: int = 1
    missed: int = 0

    @property
    def box(self) -> np.ndarray:
        """Predicted box ``(4,)`` xyxy."""
        x, y, aspect, height = self.mean[:4]
        half = np.maximum([aspect * height, height], 1) / 2
        return np.concatenate([[x, y] - half, [x, y] + half])


class Tracker:
    """Online tracker: gives a person the same ``person_id`` in all frames.

    Ids are deterministic. They count up from 0 in order of appearance, and
    within a frame in descending order of scores. A person who is lost keeps
    the id for ``max_gap`` frames, but not beyond a cut of the video, which
    frames with ``appearance`` show. Memory depends on the number of persons,
    not on the number of frames.

    Args:
        score_thr: Lowest score at which a new track begins.
        low_score_thr: Lowest score at which an existing track is continued.
            Detections down to this score reduce gaps in tracks.
        max_gap: Frames for which a person may be missing.
        min_similarity: Lowest similarity at which a detection with at least
            ``score_thr`` continues a track: mean of box IoU and joint OKS,
            times the similarities of depth and of appearance.
        low_min_similarity: The same for detections with lower scores.
        min_hits: Tracks with fewer hits end with the first miss.

    Attributes:
        cuts: ``source_frame`` of the frames after the cuts so far.

    Raises:
        ValueError: If a number is out of its range.
    """

    def __init__(
        self,
        score_thr: float = 0.3,
        low_score_thr: float = 0.1,
        max_gap: int = 30,
        min_similarity: float = 0.15,
        low_min_similarity: float = 0.4,
        min_hits: int = 3,
    ) -> None:
        if not 0 <= low_score_thr <= score_thr <= 1:
            raise ValueError(
                'thresholds must be 0 <= low_score_thr <= score_thr <= 1, '
                f'got {low_score_thr} and {score_thr}'
            )
        if max_gap < 0:
            raise ValueError(f'max_gap must not be negative, got {max_gap}')
        self.score_thr = score_thr
        self.low_score_thr = low_score_thr
        self.max_gap = max_gap
        self.min_similarity = min_similarity
        self.low_min_similarity = low_min_similarity
        self.min_hits = min_hits
        self.reset()

    def reset(self) -> None:
        """Forget all tracks; ids start at 0 again."""
        self._tracks: dict[int, _Track] = {}
        self._next_id = 0
        self._scene = np.zeros(APPEARANCE_SHAPE[1])
        self.cuts: list[int] = []

    def track(self, frame: FrameResult) -> FrameResult:
        """Assign ids to the persons of the next frame.

        Call it once per frame, also for frames without persons.

        Args:
            frame: Its ``person_id`` is ignored. ``appearance`` (of
                :func:`with_appearance`) is optional.

        Returns:
            The frame with new ``person_id`` and without ``appearance``.
            Persons with a score below ``score_thr`` who continue no track are
            left out.
        """
        self._notice_cut(frame)
        self._predict()
        ids = self._known_ids(frame)
        scores = frame.instances['scores']
        unknown = np.flatnonzero((ids < 0) & (scores >= self.score_thr))
        order = np.argsort(-scores[unknown], kind='stable')
        ids[unknown[order]] = self._next_id + np.arange(len(unknown))
        self._update(frame, ids)
        kept = frame.select(ids >= 0)
        return kept.with_fields(person_id=ids[ids >= 0], appearance=None)

    def resume(self, frames: Iterable[FrameResult], next_id: int = 0) -> None:
        """Restore the state from frames that were tracked before.

        Args:
            frames: The last ``max_gap + 1`` frames, or more, in order.
            next_id: Lower bound of the next unused id; ids of ``frames`` are
                never used again.
        """
        self.reset()
        for frame in frames:
            self._predict()
            self._update(frame, frame.instances['person_id'])
        self._next_id = max(self._next_id, next_id)

    def _notice_cut(self, frame: FrameResult) -> None:
        """Forget the tracks if the frame is of another shot."""
        if not len(frame):  # without appearance
            return
        scene = _appearance(frame)[0, SCENE]
        if is_cut(self._scene, scene):
            self._tracks.clear()
            self.cuts.append(frame.source_frame)
        self._scene = scene

    def _predict(self) -> None:
        for track in self._tracks.values():
            if track.missed:
                # The size of an invisible person is not extrapolated.
                track.mean[[_ASPECT_RATE, _HEIGHT_RATE]] = 0
            track.mean, track.covariance = kalman.predict(
                track.mean, track.covariance
            )
            track.missed += 1

    def _known_ids(self, frame: FrameResult) -> np.ndarray:
        """``(n,)`` ids of persons who continue a track, -1 for the others."""
        ids = np.full(len(frame), -1)
        scores = frame.instances['scores']
        confident = scores >= self.score_thr
        uncertain = ~confident & (scores >= self.low_score_thr)
        for mask, threshold, only_recent in (
            (confident, self.min_similarity, False),
            (uncertain, self.low_min_similarity, True),
        ):
            rows = np.flatnonzero(mask)
            self._match(frame, ids, rows, threshold, only_recent)
        return ids

    def _match(
        self,
        frame: FrameResult,
        ids: np.ndarray,
        rows: np.ndarray,
        threshold: float,
        only_recent: bool,
    ) -> None:
        """Write ids of matched tracks into ``ids`` at ``rows``."""
        free = [
            key
            for key, track in self._tracks.items()
            if key not in ids and (track.missed == 1 or not only_recent)
        ]
        if not free or not len(rows):
            return
        tracks = [self._tracks[key] for key in free]
        similarity = _similarity(tracks, frame, rows)
        for track, column in zip(*assign(similarity, threshold), strict=True):
            ids[rows[column]] = free[track]

    def _update(self, frame: FrameResult, ids: np.ndarray) -> None:
        boxes, joints = _boxes_and_joints(frame)
        depths, looks = _depths(frame), _appearance(frame)[:, :SCENE]
        for row in np.flatnonzero(ids >= 0).tolist():
            key = int(ids[row])
            relative = (joints[row] - boxes[row, :2]) / boxes[row, 3]
            old = self._tracks.get(key)
            depth, colors = float(depths[row]), looks[row]
            if old is None:
                mean, covariance = kalman.initiate(boxes[row])
            else:
                depth = (old.depth + depth) / 2
                colors = mean_appearance(old.colors, colors)
                mean, covariance = kalman.update(
                    old.mean, old.covariance, boxes[row]
                )
            hits = 1 if old is None else old.hits + 1
            self._tracks[key] = _Track(
                mean, covariance, relative, depth, colors, hits
            )
            self._next_id = max(self._next_id, key + 1)
        self._tracks = {
            key: track
            for key, track in self._tracks.items()
            if track.missed
            <= (self.max_gap if track.hits >= self.min_hits else 0)
        }


def _boxes_and_joints(frame: FrameResult) -> tuple[np.ndarray, np.ndarray]:
    """Boxes ``(n, 4)`` of the Kalman filter, joints ``(n, 17, 2)``."""
    corners = frame.instances['bboxes'].astype(np.float64)
    center = (corners[:, :2] + corners[:, 2:]) / 2
    # Boxes without an area must not divide by zero.
    width, height = np.maximum(corners[:, 2:] - corners[:, :2], 1).T
    boxes = np.concatenate(
        [center, (width / height)[:, None], height[:, None]], axis=1
    )
    joints = frame.instances['joints2d'][:, BODY_JOINTS].astype(np.float64)
    return boxes, joints


def _depths(frame: FrameResult) -> np.ndarray:
    """``(n,)`` meters."""
    return frame.instances['joints3d'][:, PELVIS, 2].astype(np.float64)


def _appearance(frame: FrameResult) -> np.ndarray:
    """``(n, 3, 64)``; 0 if unknown."""
    unknown = np.zeros((len(frame), *APPEARANCE_SHAPE))
    return frame.instances.get('appearance', unknown)


def _similarity(
    tracks: list[_Track], frame: FrameResult, rows: np.ndarray
) -> np.ndarray:
    """``(M, n)`` similarity of tracks and persons."""
    _, joints = _boxes_and_joints(frame)
    boxes = np.stack([track.box for track in tracks])
    states = np.stack([track.mean for track in tracks])
    expected = np.stack([track.joints for track in tracks])
    expected = expected * states[:, None, 3:4] + states[:, None, :2]
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    overlap = pairwise_iou(boxes, frame.instances['bboxes'][rows])
    # Two persons who pass each other may have one box, but face different
    # ways: the left shoulder of one is at the right shoulder of the other.
    similarity = overlap + oks(
        expected[:, None], joints[None, rows], areas[:, None]
    )
    depths = np.array([track.depth for track in tracks])
    similarity = (
        similarity / 2 * depth_similarity(depths, _depths(frame)[rows])
    )
    looks = appearance_similarity(
        np.stack([track.colors for track in tracks]),
        _appearance(frame)[rows, :SCENE],
    )
    return similarity * looks
