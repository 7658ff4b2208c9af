#!/usr/bin/env python
# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
r"""Measure tracking and smoothing on synthetic sequences with ground truth.

The network runs once per image; detections are cached in --detections. Row
"true ids" is the upper bound for a tracker with these detections: each gets
the id of the labeled person that it overlaps. Row "filled" also has persons in
the gaps of tracks. Errors and jitter are computed on 22 body joints relative
to the pelvis, over tracks that are matched to labeled persons. Needs the
package trackeval.

Example:
    python tools/make_synthetic_dataset.py data/crowds --sequences 6 \
        --video 40 --fps 10 --persons 5-8 --any-heading --genders neutral \
        --seed 9
    python tools/analysis_tools/benchmark_tracking.py data/crowds \
        --detections outputs/crowds --fps 10
"""

from __future__ import annotations

import argparse
import itertools
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from aios.apis.cli import (
    add_device_option,
    add_model_arguments,
    model_and_weights,
)
from aios.apis.images import read_image
from aios.apis.inferencer import AiOSInferencer
from aios.apis.post_processing import LOW_SCORE
from aios.body_models import SMPLXLayer
from aios.datasets import HumanData
from aios.evaluation.functional import match_hungarian, pairwise_iou
from aios.evaluation.functional.trajectory import jitter
from aios.evaluation.tracking import Track, evaluate_tracks
from aios.results import FrameResult, SequenceResult
from aios.tracking import (
    OneEuroSmoother,
    Tracker,
    fill_gaps,
    smooth_sequence,
    with_appearance,
)
from aios.utils.command_line import (
    errors_in_one_line,
    make_parser,
    markdown_table,
)

_OVERLAP = 0.5  # IoU from which a track is that of a person
_BODY = slice(22)


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(__doc__)
    parser.add_argument(
        'dataset',
        type=Path,
        help='dataset of make_synthetic_dataset.py --sequences',
    )
    add_model_arguments(parser)
    parser.add_argument(
        '--detections',
        type=Path,
        required=True,
        help='folder in which detections are cached',
    )
    parser.add_argument(
        '--score-thr',
        type=float,
        default=0.3,
        help='minimum score of detections (default: %(default)s, as in the '
        'demos)',
    )
    parser.add_argument(
        '--fps',
        type=float,
        default=15,
        help='frame rate of the sequences (default: %(default)s)',
    )
    add_device_option(parser)
    return parser.parse_intermixed_args(argv)


class Truth:
    """The labeled persons of a sequence.

    Attributes:
        track: Their boxes.
        joints: By frame ``(n, 22, 3)`` meters, relative to the pelvis.
    """

    def __init__(self, data: HumanData, rows: np.ndarray) -> None:
        boxes = np.asarray(data['bbox_xywh'])[rows, :4]
        joints = data.joints('keypoints3d_smplx', 'smplx_144', rows)
        joints = joints[:, _BODY, :3] - joints[:, :1, :3]
        ids = np.asarray(data['meta']['person_id'])[rows].astype(int)
        numbers = np.asarray(data['meta']['frame_id'])[rows].astype(int)
        self.track, self.joints = Track(), {}
        for frame in np.unique(numbers).tolist():
            here = numbers == frame
            pairs = zip(ids[here].tolist(), boxes[here], strict=True)
            self.track.add(frame, list(pairs))
            self.joints[frame] = joints[here]

    def matches(self, frame: int, boxes: np.ndarray) -> np.ndarray:
        """``(pairs, 2)`` of persons of the frame, and boxes xyxy."""
        if frame not in self.joints:
            return np.zeros((0, 2), int)
        overlap = pairwise_iou(self.track.boxes[frame], boxes)
        pairs = match_hungarian(1 - overlap)
        return pairs[overlap[pairs[:, 0], pairs[:, 1]] >= _OVERLAP]


def read_truth(folder: Path) -> dict[str, Truth]:
    """Sequences of a dataset, by name."""
    data = HumanData.load(folder / 'humandata.npz')
    if 'sequence_name' not in data['meta']:
        raise ValueError(
            f'{folder}: contains images, not sequences; '
            'make_synthetic_dataset.py --sequences writes sequences'
        )
    names = np.asarray(data['meta']['sequence_name'])
    return {
        str(name): Truth(data, np.flatnonzero(names == name))
        for name in np.unique(names)
    }


def detect(
    args: argparse.Namespace, names: list[str]
) -> dict[str, SequenceResult]:
    """Detect persons of each sequence, or load stored ones.

    Raises:
        ValueError: If the stored ones are of other images or another model.
    """
    inferencer, found = None, {}
    model = ' '.join(str(x) for x in (args.config, args.checkpoint) if x)
    for name in names:
        path = args.detections / f'{name}.npz'
        images = args.dataset / 'images' / name
        origin = dict(source=str(images), model=model)
        if not path.is_file():
            inferencer = inferencer or AiOSInferencer(
                *model_and_weights(args), args.device, score_thr=LOW_SCORE
            )
            frames = inferencer.stream(images)
            persons = SequenceResult.from_frames(
                frames, fps=args.fps, **origin
            )
            persons.save(path)
        found[name] = SequenceResult.load(path)
        for field, wanted in origin.items():
            stored = getattr(found[name], field)
            # Files of earlier versions have no source.
            if found[name].source and stored != wanted:
                raise ValueError(
                    f'{path}: {field} is {stored!r}, not {wanted!r}; choose '
                    'another --detections'
                )
    return found


def with_frames(
    persons: SequenceResult, change: Callable[[FrameResult], FrameResult]
) -> SequenceResult:
    """Apply ``change`` to each frame of a sequence."""
    return SequenceResult.from_frames(
        map(change, persons.frames()), **persons.metadata
    )


def track(
    persons: SequenceResult, images: Path, score_thr: float
) -> SequenceResult:
    """Persons with the ids of ``--track``."""
    tracker = Tracker(score_thr, min(score_thr, LOW_SCORE))

    def name(frame: FrameResult) -> FrameResult:
        image, _ = read_image(images / f'{frame.name}.jpg')
        return tracker.track(with_appearance(frame, image))

    return with_frames(persons, name)


def with_true_ids(
    persons: SequenceResult, truth: Truth, score_thr: float
) -> SequenceResult:
    """Persons with the ids of an ideal tracker."""
    unknown = itertools.count(-1, -1)

    def name(frame: FrameResult) -> FrameResult:
        frame = frame.select(frame.instances['scores'] >= score_thr)
        ids = np.array([next(unknown) for _ in range(len(frame))], int)
        number = int(frame.name)
        pairs = truth.matches(number, frame.instances['bboxes'])
        for person, row in pairs.tolist():
            ids[row] = truth.track.ids[number][person]
        return frame.with_fields(person_id=ids)

    return with_frames(persons, name)


def as_track(persons: SequenceResult) -> Track:
    """Boxes with ids."""
    track = Track()
    for frame in persons.frames():
        boxes = frame.instances['bboxes'].astype(float)
        boxes[:, 2:] -= boxes[:, :2]
        ids = frame.instances['person_id'].tolist()
        track.add(int(frame.name), list(zip(ids, boxes, strict=True)))
    return track


def motion_errors(
    sequences: dict[str, SequenceResult], truths: dict[str, Truth], fps: float
) -> list[str]:
    """Error in mm, jitter of the tracks and of the truth in 10 m/s^3."""
    errors, jitters = [], {'found': [], 'true': []}
    for name, persons in sequences.items():
        rows = defaultdict(list)
        for frame in persons.frames():
            found, number = frame.instances, int(frame.name)
            body = found['joints3d'][:, _BODY].astype(float)
            body -= body[:, :1]
            for person, row in truths[name].matches(number, found['bboxes']):
                true = truths[name].joints[number][person]
                owner = truths[name].track.ids[number][person]
                key = int(owner), int(found['person_id'][row])
                rows[key].append((number, body[row], true))
                errors.append(np.linalg.norm(body[row] - true, axis=-1))
        for track in rows.values():
            numbers, found, true = map(np.array, zip(*track, strict=True))
            jitters['found'].append(jitter(found, numbers, fps))
            jitters['true'].append(jitter(true, numbers, fps))
    moving = (np.concatenate(jitters[k]).mean() for k in ('found', 'true'))
    return [f'{1e3 * np.mean(errors):.1f}', *(f'{v:.2f}' for v in moving)]


def main(argv: list[str] | None = None) -> None:
    """Print two tables."""
    args = parse_args(argv)
    with errors_in_one_line():
        truths = read_truth(args.dataset)
        found = detect(args, list(truths))
        thr, images = args.score_thr, args.dataset / 'images'
        tracked = {n: track(p, images / n, thr) for n, p in found.items()}
    named = {n: with_true_ids(p, truths[n], thr) for n, p in found.items()}
    layer = SMPLXLayer('free')
    variants = {'tracker': tracked, 'true ids': named}
    for label in list(variants):
        variants[f'{label}, filled'] = {
            name: fill_gaps(persons, layer)
            for name, persons in variants[label].items()
        }
    columns = ('MOTA', 'IDF1', 'HOTA', 'IDSW', 'FP', 'FN', 'boxes')
    table: list[list[str]] = [['ids', *columns]]
    for label, sequences in variants.items():
        numbers = evaluate_tracks(
            {name: truth.track for name, truth in truths.items()},
            {name: as_track(persons) for name, persons in sequences.items()},
        )
        table.append([label, *(f'{numbers[k]:.4g}' for k in columns)])
    print(markdown_table(table))

    smoothed = {
        'as found': lambda persons: persons,
        'OneEuroSmoother': lambda persons: with_frames(
            persons, OneEuroSmoother(args.fps, layer)
        ),
        'smooth_sequence': lambda persons: smooth_sequence(persons, layer),
    }
    motions = [['smoothing', 'error', 'jitter', 'true jitter']]
    for label, smooth in smoothed.items():
        sequences = {n: smooth(persons) for n, persons in tracked.items()}
        motions.append([label, *motion_errors(sequences, truths, args.fps)])
    print(f'\n{markdown_table(motions)}')


if __name__ == '__main__':
    main()
