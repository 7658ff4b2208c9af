# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Errors of every joint of every person, from dumped predictions.

Symbols: ``N`` matched persons of all images, ``J`` = 137 joints of the set
``smplx_137``, ``n`` persons of an image.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from aios.evaluation.functional import (
    match_greedy,
    pairwise_iou,
    procrustes_align,
    unmatched_in_regions,
)
from aios.evaluation.functional.errors import MAX_EXACT_POINTS, MILLIMETERS
from aios.structures import PELVIS, SMPLX_137, joint_mapping
from aios.utils.choices import check_choice

FROM_144 = joint_mapping('smplx_144', 'smplx_137')
"""Joints of predictions in the order of labels."""

NEEDED = ('img_id', 'img_path', 'scores', 'bboxes', 'joints3d')
"""Names that :func:`compare_joints` reads from a record or its persons."""

PARTS: Mapping[str, tuple[list[int], int]] = {
    'body': (
        list(SMPLX_137.groups['body']),
        PELVIS,
    ),
    'lhand': (
        list(SMPLX_137.groups['left_hand']),
        SMPLX_137.index('left_wrist'),
    ),
    'rhand': (
        list(SMPLX_137.groups['right_hand']),
        SMPLX_137.index('right_wrist'),
    ),
    'face': (list(SMPLX_137.groups['face']), SMPLX_137.index('neck')),
}
"""Joints of each part, and the one at which it is aligned."""


@dataclass(frozen=True)
class JointErrors:
    """One row per matched person.

    Args:
        errors: ``(N, J)`` millimeters, 0 where unknown.
        known: ``(N, J)`` bool.
        scores: ``(N,)``.
        persons: ``(N, 2)`` rows in the image's ground truth and
            predictions.
        images: ``(N,)`` index of the image in the dataset.
        missed: ``(K, 2)`` image and person of each unmatched person.
        wrong: Number of predictions that match no person, without those in
            crowds.
    """

    errors: np.ndarray
    known: np.ndarray
    scores: np.ndarray
    persons: np.ndarray
    images: np.ndarray
    missed: np.ndarray
    wrong: int

    @property
    def counts(self) -> str:
        """Numbers of persons, for messages."""
        return (
            f'{len(self.errors)} persons are matched, {len(self.missed)} '
            f'missed; {self.wrong} predictions match no person'
        )

    def of_persons(self, part: str) -> np.ndarray:
        """Mean error ``(N,)`` of the joints of a part; -1 if unknown.

        Args:
            part: One of :data:`PARTS`, or ``'all'``: all joints, each aligned
                with its part (not at the pelvis, as in ``MPJPE-all``).
        """
        columns = slice(None) if part == 'all' else PARTS[part][0]
        known = self.known[:, columns]
        count = known.sum(1)
        total = np.where(known, self.errors[:, columns], 0).sum(1)
        return np.where(count > 0, total / np.maximum(count, 1), -1)

    def of_joints(self) -> list[dict[str, Any]]:
        """``joint``, ``part``, ``persons``, ``mean``, ``median`` and ``p90``.

        In millimeters; joints without labels are left out.
        """
        rows = []
        for part, (joints, _) in PARTS.items():
            for joint in joints:
                values = self.errors[self.known[:, joint], joint]
                if len(values):
                    name = SMPLX_137.names[joint]
                    rows.append(
                        {'joint': name, 'part': part, **_statistics(values)}
                    )
        return rows

    def of_parts(self) -> list[dict[str, Any]]:
        """Statistics of persons' mean errors of each part and all joints."""
        rows = []
        for part in ('all', *PARTS):
            values = self.of_persons(part)
            if (values >= 0).any():
                rows.append({'part': part, **_statistics(values[values >= 0])})
        return rows


class RecordFinder:
    """Finds the record of an image.

    Args:
        records: Of ``DumpWholeBodyResults``.
    """

    def __init__(self, records: Sequence[Mapping[str, Any]]) -> None:
        # Concatenated datasets may have the same name, and number from 0.
        self._records: dict[Any, list[Mapping[str, Any]]] = {}
        for record in records:
            key = record.get('dataset_name'), record['img_id']
            self._records.setdefault(key, []).append(record)

    def __call__(self, info: Mapping[str, Any]) -> Mapping[str, Any]:
        """The record of an image.

        Args:
            info: Its annotation, from ``get_data_info``.

        Raises:
            ValueError: If it was not dumped, or the record belongs to
                another image.
        """
        key = info.get('dataset_name'), info['img_id']
        path, found = info['img_path'], self._records.get(key, [])
        if not found:
            raise ValueError(
                f'image {key[1]} of {key[0]} ({path}) has no predictions; '
                'they are from another dataset'
            )
        for record in found:
            if record['img_path'] == path:
                return record
        # The images may have moved.
        same = [r for r in found if _name(r['img_path']) == _name(path)]
        if len(same) != 1:
            others = ', '.join(record['img_path'] for record in found)
            raise ValueError(
                f'image {key[1]} of {key[0]} is {path} in the dataset and '
                f'{others} in the predictions'
            )
        return same[0]


def ground_truth_records(
    dataset: Any, records: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[int, dict[str, Any], Mapping[str, Any]]]:
    """Iterate over labels and records without decoding images.

    Args:
        dataset: A dataset with ``get_data_info``, such as
            :class:`~aios.datasets.HumanDataset`.
        records: Of ``DumpWholeBodyResults``.

    Yields:
        Index of an image in the dataset, its annotation and its record.

    Raises:
        ValueError: If an image was not dumped, or a record belongs to
            another image.
    """
    record_of = RecordFinder(records)
    for index in tqdm(range(len(dataset)), desc='images'):
        info = dataset.get_data_info(index)
        yield index, info, record_of(info)


def labels_in_image(
    info: Mapping[str, Any], size: Sequence[int]
) -> dict[str, np.ndarray]:
    """Labels in pixels of an image that is smaller than annotated.

    Args:
        info: Annotation of the image, from ``get_data_info``.
        size: Its height and width.

    Returns:
        The arrays of ``info``, with scaled ``bboxes`` and ``keypoints``, and
        ``ignored_bboxes`` ``(q, 4)`` of crowds.
    """
    scale = np.array((size[1] / info['width'], size[0] / info['height']))
    labels = dict(info['instances_arrays'])
    labels['ignored_bboxes'] = info.get('ignored_bboxes', np.zeros((0, 4)))
    for name in ('bboxes', 'ignored_bboxes'):
        labels[name] = labels[name] * np.tile(scale, 2)
    labels['keypoints'] = labels['keypoints'] * scale
    return labels


def compare_joints(
    dataset: Any,
    records: Sequence[Mapping[str, Any]],
    score_thr: float = 0.3,
    iou_thr: float = 0.5,
    align: str = 'root',
) -> JointErrors:
    """Match persons by their boxes and compute their joint errors.

    Args:
        dataset: See :func:`ground_truth_records`.
        records: Of ``DumpWholeBodyResults``.
        score_thr: Predictions with a lower score, and those that are not
            finite, are left out.
        iou_thr: Smallest overlap of the boxes of a match.
        align: ``'root'``: align parts at pelvis, wrist or neck;
            ``'similarity'``: align each part by its best similarity.

    Raises:
        ValueError: If predictions do not belong to the dataset.
    """
    check_choice('align', align, ('root', 'similarity'))
    columns: dict[str, list[np.ndarray]] = {
        name: [] for name in ('errors', 'known', 'scores', 'persons')
    }
    images: list[np.ndarray] = []
    missed: list[tuple[int, int]] = []
    wrong = 0
    for index, info, record in ground_truth_records(dataset, records):
        size = record.get('ori_shape', (info['height'], info['width']))
        true = labels_in_image(info, size)
        predicted = record['pred_instances']
        keep = np.flatnonzero(
            (predicted['scores'] >= score_thr)
            & np.isfinite(predicted['bboxes']).all(1)
            & np.isfinite(predicted['joints3d']).all((1, 2))
        )
        boxes = predicted['bboxes'][keep]
        overlaps = pairwise_iou(boxes, true['bboxes'])
        pairs = match_greedy(predicted['scores'][keep], overlaps, iou_thr)
        ignored = unmatched_in_regions(
            boxes, true['ignored_bboxes'], pairs, iou_thr
        )
        wrong += len(keep) - len(pairs) - int(ignored.sum())
        absent = np.setdiff1d(np.arange(len(true['bboxes'])), pairs[:, 1])
        missed.extend((index, person) for person in absent.tolist())
        prediction, person = keep[pairs[:, 0]], pairs[:, 1]
        known = true['keypoints3d_visible'][person] > 0
        known &= true['has_3d'][person, None] > 0
        errors, known = _errors(
            predicted['joints3d'][prediction][:, FROM_144],
            true['keypoints3d'][person],
            known,
            align,
        )
        columns['errors'].append(errors)
        columns['known'].append(known)
        columns['scores'].append(predicted['scores'][prediction])
        columns['persons'].append(np.stack((person, prediction), axis=1))
        images.append(np.full(len(pairs), index))
    if not images:
        raise ValueError('the dataset contains no images')
    return JointErrors(
        **{name: np.concatenate(c) for name, c in columns.items()},
        images=np.concatenate(images),
        missed=np.array(missed, np.int64).reshape(-1, 2),
        wrong=wrong,
    )


def _errors(
    predicted: np.ndarray, true: np.ndarray, known: np.ndarray, align: str
) -> tuple[np.ndarray, np.ndarray]:
    """Errors ``(n, J)`` in millimeters, and the known ones."""
    errors, counts = np.zeros(known.shape), np.zeros(known.shape, bool)
    predicted, true = predicted.astype(np.float64), true.astype(np.float64)
    for joints, root in PARTS.values():
        a, b, mask = predicted[:, joints], true[:, joints], known[:, joints]
        if align == 'root':
            mask = mask & known[:, [root]]
            a, b = a - predicted[:, [root]], b - true[:, [root]]
        else:
            mask = mask & (mask.sum(1, keepdims=True) > MAX_EXACT_POINTS)
            a = procrustes_align(a, b, mask)(a)
        distance = np.linalg.norm(a - b, axis=-1) * MILLIMETERS
        errors[:, joints] = np.where(mask, distance, 0)
        counts[:, joints] = mask
    return errors, counts


def _statistics(values: np.ndarray) -> dict[str, Any]:
    median, high = np.percentile(values, (50, 90)).tolist()
    return {
        'persons': len(values),
        'mean': float(values.mean()),
        'median': median,
        'p90': high,
    }


def _name(path: str) -> str:
    return path.replace('\\', '/').rpartition('/')[2]
