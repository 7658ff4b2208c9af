# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""MOTA, IDF1 and HOTA of tracks, computed by the ``trackeval`` package.

Tracks are boxes, read from JSON files of PoseTrack 2018 or text files of
MOTChallenge.

Symbols: ``n`` boxes of a frame.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from aios.evaluation.functional import match_hungarian, pairwise_iou

_MIN_OVERLAP = 0.5


class TrackFileError(ValueError):
    """A file of tracks is invalid; the message says where."""


@dataclass
class Track:
    """Boxes of persons in the frames of one sequence.

    Attributes:
        ids: ``(n,)`` int64 ids of the persons, by frame.
        boxes: ``(n, 4)`` float64 xyxy pixels, by frame.
        ignored: Polygons ``(k, 2)`` of unannotated regions, by frame.
        labeled: Frames that are evaluated; None for all, also those without
            a person.
    """

    ids: dict[int, np.ndarray] = field(default_factory=dict)
    boxes: dict[int, np.ndarray] = field(default_factory=dict)
    ignored: dict[int, list[np.ndarray]] = field(default_factory=dict)
    labeled: set[int] | None = None

    def add(self, frame: int, rows: Sequence[tuple[int, Sequence]]) -> None:
        """Add the id and xywh box of each person of a frame."""
        ids = np.array([row[0] for row in rows], np.int64)
        boxes = np.array([row[1] for row in rows], np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        self.ids[frame], self.boxes[frame] = ids, boxes


def read_tracks(path: str | os.PathLike, predicted: bool = False) -> Track:
    """Read the tracks of one sequence.

    Args:
        path: ``.json`` of PoseTrack 2018: ``images`` with ``id`` and
            ``file_name``, optionally ``is_labeled`` and ``ignore_regions_x``,
            ``ignore_regions_y``; ``annotations`` with ``image_id``,
            ``track_id``, ``bbox`` (xywh).  Frames are numbered from 1 by
            their file names.  Or ``.txt`` of MOTChallenge: ``frame, id,
            left, top, width, height, confidence`` and more.
        predicted: Whether the tracks are predictions, whose confidence is a
            score.  In ground truth, lines of confidence 0 do not count.

    Raises:
        TrackFileError: If the content is invalid, or an id occurs twice in a
            frame.
    """
    path = Path(path)
    readers: dict[str, Callable[[str], Track]] = {
        '.json': _read_posetrack,
        '.txt': partial(_read_mot, predicted=predicted),
    }
    if path.suffix not in readers:
        raise TrackFileError(
            f'{path}: the suffix must be one of {tuple(readers)}'
        )
    try:
        track = readers[path.suffix](path.read_text(encoding='utf-8-sig'))
    except (
        *(AttributeError, IndexError, KeyError, OverflowError),
        *(RecursionError, TypeError, ValueError),
    ) as error:
        raise TrackFileError(
            f'{path}: invalid content ({type(error).__name__}: {error})'
        ) from error
    for frame, ids in track.ids.items():
        values, counts = np.unique(ids, return_counts=True)
        if (counts > 1).any():
            raise TrackFileError(
                f'{path}: frame {frame}: id {values[counts > 1][0]} occurs '
                'twice'
            )
        if not np.isfinite(track.boxes[frame]).all():
            raise TrackFileError(f'{path}: frame {frame}: box is not finite')
    return track


def _read_posetrack(text: str) -> Track:
    content = json.loads(text)
    labeled: set[int] = set()
    track, frames = Track(labeled=labeled), {}
    rows: dict[int, list] = {}
    images = sorted(content['images'], key=lambda image: image['file_name'])
    for frame, image in enumerate(images, start=1):
        frames[image['id']] = frame
        rows[frame] = []
        shapes = zip(
            image.get('ignore_regions_x') or (),
            image.get('ignore_regions_y') or (),
            strict=True,
        )
        track.ignored[frame] = [
            np.stack((np.ravel(x), np.ravel(y)), axis=1) for x, y in shapes
        ]
        if image.get('is_labeled', True):
            labeled.add(frame)
    for index, person in enumerate(content['annotations']):
        # Persons without a box have head boxes only.
        if not person.get('bbox'):
            continue
        try:
            box = np.reshape(np.asarray(person['bbox'], np.float64), 4)
            entry = _whole(person['track_id']), box.tolist()
            rows[frames[person['image_id']]].append(entry)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'annotations[{index}] needs a track_id, the image_id of an '
                f'image and 4 numbers as bbox, got {error!r}'
            ) from error
    for frame, entries in rows.items():
        track.add(frame, entries)
    return track


def _whole(value: float) -> int:
    """The integer; JSON of some programs has 3.0."""
    if not float(value).is_integer():
        raise ValueError(f'{value} is not an integer')
    return int(value)


def _read_mot(text: str, predicted: bool) -> Track:
    rows: dict[int, list] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            values = [float(value) for value in line.replace(',', ' ').split()]
            frame, identity = map(_whole, values[:2])
            x, y, width, height = values[2:6]
        except ValueError:
            raise ValueError(
                f'line {number} must be numbers: frame, id (integers), left, '
                f'top, width, height and more, got {line[:60]!r}'
            ) from None
        entries = rows.setdefault(frame, [])
        if predicted or len(values) < 7 or values[6] != 0:
            entries.append((identity, (x, y, width, height)))
    track = Track()
    for frame, entries in rows.items():
        track.add(frame, entries)
    return track


def evaluate_tracks(
    true: Mapping[str, Track], predicted: Mapping[str, Track]
) -> dict[str, float]:
    """MOTA, IDF1 and HOTA over all sequences.

    Boxes are compared by IoU; CLEAR and identity need 0.5.  An unmatched
    prediction with its center in an ignored region is left out, and so are
    frames without labels.

    Args:
        true: Tracks by the name of the sequence.
        predicted: Likewise; absent sequences have no predictions.

    Returns:
        ``HOTA``, ``DetA``, ``AssA``, ``LocA``, ``MOTA``, ``MOTP``, ``IDF1``,
        ``IDP``, ``IDR`` in [0, 1] (MOTA may be negative), and the counts
        ``IDSW``, ``FP``, ``FN``, ``frames``, ``boxes``, ``sequences``.

    Raises:
        ImportError: If ``trackeval`` is not installed.
        ValueError: If there is no sequence, or a predicted one is unknown.
    """
    unknown = sorted(set(predicted) - set(true))
    if unknown or not true:
        raise ValueError(
            f'sequence {unknown[0]!r} has no ground truth, there are '
            f'{sorted(true)}'
            if unknown
            else 'there is no ground truth'
        )
    metrics = _trackeval_metrics()
    data = {
        name: _sequence_data(track, predicted.get(name, Track()))
        for name, track in sorted(true.items())
    }
    results = {}
    for kind, metric in metrics.items():
        parts = {k: metric.eval_sequence(v) for k, v in data.items()}
        results[kind] = metric.combine_sequences(parts)
    hota, clear, identity = (results[k] for k in ('HOTA', 'CLEAR', 'ID'))
    summary = {
        k: float(np.mean(hota[k])) for k in ('HOTA', 'DetA', 'AssA', 'LocA')
    }
    summary |= {k: float(clear[k]) for k in ('MOTA', 'MOTP', 'IDSW')}
    summary |= {k: float(identity[k]) for k in ('IDF1', 'IDP', 'IDR')}
    return summary | {
        'FP': float(clear['CLR_FP']),
        'FN': float(clear['CLR_FN']),
        'frames': float(sum(d['num_timesteps'] for d in data.values())),
        'boxes': float(sum(d['num_gt_dets'] for d in data.values())),
        'sequences': float(len(data)),
    }


def _trackeval_metrics() -> dict[str, Any]:
    try:
        import trackeval
    except ImportError as error:
        raise ImportError(
            'tracking metrics need the package trackeval: pip install '
            'trackeval'
        ) from error
    options = {'PRINT_CONFIG': False, 'THRESHOLD': _MIN_OVERLAP}
    return {
        'HOTA': trackeval.metrics.HOTA(),
        'CLEAR': trackeval.metrics.CLEAR(options),
        'ID': trackeval.metrics.Identity(options),
    }


def _sequence_data(true: Track, predicted: Track) -> dict[str, Any]:
    """Input of trackeval's metrics: ids counted from 0, and overlaps."""
    frames = true.labeled
    if frames is None:
        # Text files have no lines for frames without persons.
        frames = true.ids.keys() | predicted.ids.keys()
    data: dict[str, Any] = {
        'num_timesteps': len(frames),
        'gt_ids': [],
        'tracker_ids': [],
        'similarity_scores': [],
    }
    nothing = np.zeros(0, np.int64), np.zeros((0, 4))
    for frame in sorted(frames):
        ids = true.ids.get(frame, nothing[0])
        boxes = true.boxes.get(frame, nothing[1])
        predicted_ids = predicted.ids.get(frame, nothing[0])
        predicted_boxes = predicted.boxes.get(frame, nothing[1])
        overlaps = pairwise_iou(boxes, predicted_boxes)
        keep = _counted(overlaps, predicted_boxes, true.ignored.get(frame, []))
        data['gt_ids'].append(ids)
        data['tracker_ids'].append(predicted_ids[keep])
        data['similarity_scores'].append(overlaps[:, keep])
    for name, side in (('gt', 'gt_ids'), ('tracker', 'tracker_ids')):
        every_id = np.unique(np.concatenate([*data[side], nothing[0]]))
        data[side] = [np.searchsorted(every_id, ids) for ids in data[side]]
        data[f'num_{name}_ids'] = len(every_id)
        data[f'num_{name}_dets'] = sum(map(len, data[side]))
    return data


def _counted(
    overlaps: np.ndarray, boxes: np.ndarray, regions: list[np.ndarray]
) -> np.ndarray:
    """``(n,)`` bool: predictions that are matched or outside all regions."""
    keep = np.ones(len(boxes), bool)
    if not regions:
        return keep
    pairs = match_hungarian(-overlaps, overlaps >= _MIN_OVERLAP)
    for index in np.setdiff1d(np.arange(len(boxes)), pairs[:, 1]).tolist():
        x, y = (boxes[index, :2] + boxes[index, 2:]) / 2
        keep[index] = all(
            cv2.pointPolygonTest(region.astype(np.float32), (x, y), False) < 0
            for region in regions
            if len(region) > 2
        )
    return keep
