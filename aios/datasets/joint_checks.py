# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Checks of the joints of HumanData files.

Symbols: ``N`` rows (persons), ``K`` joints.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from aios.structures import HUMAN_DATA_190

from .findings import Finding, Report
from .human_data import HumanData
from .image_sizes import listed_sizes
from .joint_labels import MAX_CONFIDENCE
from .label_options import KEYPOINTS_2D, KEYPOINTS_3D

_OUTSIDE_SHARE = 0.5
_BOX_GROUPS = {
    'body': ('bbox_xywh', 'body'),
    'lhand': ('lhand_bbox_xywh', 'left_hand'),
    'rhand': ('rhand_bbox_xywh', 'right_hand'),
}
_SPANS = (0.1, 5.0)  # meters; of the joints of a person


def confidences(data: HumanData) -> Iterator[Finding]:
    """Check that confidences are in 0..1."""
    for key in (*KEYPOINTS_2D, *KEYPOINTS_3D):
        if key not in data or not data.raw(key).size:
            continue
        confidence = data.raw(key)[..., -1]
        low, high = confidence.min(axis=1), confidence.max(axis=1)
        rows = np.flatnonzero(high > MAX_CONFIDENCE)
        if len(rows):
            yield Finding(
                'confidence',
                f'{key} has confidences above {MAX_CONFIDENCE}, which '
                'datasets refuse',
                rows=rows,
                example=f'up to {high.max():g}',
            )
        rows = np.flatnonzero((low < 0) | (high > 1))
        if len(rows):
            yield Finding(
                'confidence',
                f'{key} has confidences outside 0..1, read as 0 or 1',
                is_error=False,
                rows=rows,
            )


def boxes_of_joints(data: HumanData) -> Iterator[Finding]:
    """Check that annotated joints of bodies and hands lie in their boxes."""
    key = next(
        (k for k in ('keypoints2d_ubody', *KEYPOINTS_2D) if k in data), None
    )
    if key is None:
        yield Finding('keypoints', 'there are no 2-D keypoints')
        return
    points, sizes = data.joints(key, HUMAN_DATA_190), listed_sizes(data)
    for part, (box_key, group) in _BOX_GROUPS.items():
        if box_key not in data:
            continue
        joints = points[:, list(HUMAN_DATA_190.groups[group])]
        boxes = np.asarray(data[box_key], float)
        low = boxes[:, None, :2] - 0.25 * boxes[:, None, 2:4]
        high = boxes[:, None, :2] + 1.25 * boxes[:, None, 2:4]
        # Boxes are clipped to the image, joints are not.
        seen = (joints[..., 2] > 0) & _inside(joints, sizes)
        inside = ((joints[..., :2] >= low) & (joints[..., :2] <= high)).all(-1)
        count = seen.sum(axis=1)
        share = (seen & ~inside).sum(axis=1) / np.maximum(count, 1)
        bad = (boxes[:, 4] > 0) & (count > 3) & (share > _OUTSIDE_SHARE)
        rows = np.flatnonzero(bad)
        # A few rows are annotation errors; many indicate a wrong order.
        annotated = ((boxes[:, 4] > 0) & (count > 3)).sum()
        if len(rows):
            yield Finding(
                f'{part} joints',
                f'most joints of {key} lie outside {box_key}: wrong joint '
                'order, wrong boxes, or not pixels',
                is_error=len(rows) > 0.2 * annotated,
                rows=rows,
            )


def spans(data: HumanData) -> Iterator[Finding]:
    """Check that 3-D joints are in meters."""
    for key in KEYPOINTS_3D:
        if key not in data:
            continue
        points = data.joints(key, HUMAN_DATA_190).astype(float)
        known = points[..., 3:] > 0
        low, high = (
            pick(np.where(known, points[..., :3], start), axis=1)
            for pick, start in ((np.min, np.inf), (np.max, -np.inf))
        )
        spans = (high - low).max(axis=1)
        spans = spans[(known.sum((1, 2)) > 1) & np.isfinite(spans)]
        median = float(np.median(spans)) if len(spans) else 1.0
        if not _SPANS[0] <= median <= _SPANS[1]:
            yield Finding(
                'units',
                f'the joints of a person of {key} span {median:.3g} m '
                '(median): must be meters',
            )


def eyes(data: HumanData, report: Report) -> Iterator[Finding]:
    """Check that each eyeball is nearer to the eye of its own side."""
    names = ('left_eyeball', 'right_eyeball', 'left_eye', 'right_eye')
    index = [HUMAN_DATA_190.index(name) for name in names]
    swapped, count = [], 0
    for key in (*KEYPOINTS_3D, *KEYPOINTS_2D):
        if key not in data:
            continue
        points = data.joints(key, HUMAN_DATA_190)[:, index]
        known = (points[..., -1] > 0).all(axis=1)
        balls, eyes = points[:, :2, :-1], points[:, 2:, :-1]
        own = np.linalg.norm(balls - eyes, axis=-1).sum(axis=1)
        other = np.linalg.norm(balls - eyes[:, ::-1], axis=-1).sum(axis=1)
        bad = known & (own > other)
        count += int(known.sum())
        if known.any() and bad.sum() > 0.5 * known.sum():
            swapped.append((key, np.flatnonzero(bad)))
    report.facts['eyes'] = f'{count:,} pairs of eyeballs compared'
    for key, rows in swapped:
        report.swapped_eyes += (key,)
        yield Finding(
            'eye order',
            f'left and right eyeball of {key} have changed places',
            rows=rows,
        )


def _inside(
    joints: np.ndarray, sizes: tuple[np.ndarray, np.ndarray] | None
) -> np.ndarray:
    """``(N, K)`` bool: joints inside the image; true if sizes are unknown."""
    if sizes is None:
        return np.ones(joints.shape[:2], bool)
    limit = np.stack(sizes[::-1], axis=1)[:, None]
    inside = (joints[..., :2] >= 0) & (joints[..., :2] < limit)
    return np.asarray(inside.all(axis=-1))
