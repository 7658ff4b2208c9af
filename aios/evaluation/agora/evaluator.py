# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""AGORA's protocol applied image by image, at several score thresholds.

Symbols: ``P`` predictions and ``G`` true persons of an image, ``T``
thresholds, ``U`` pairs that match at any threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aios.evaluation.functional.agora import (
    AGORA_ERRORS,
    NUM_MATCH_JOINTS,
    AGORAProtocol,
    agora_costs,
    agora_errors,
    keypoint_boxes,
    match_agora,
)
from aios.evaluation.functional.agora_summary import (
    AGORATable,
    summarize_agora,
)
from aios.evaluation.functional.errors import MILLIMETERS
from aios.structures import pairwise_iou

from .bodies import SubmittedBodies
from .ground_truth import IMAGE_SIZE, AGORAImage, image_name
from .layout import PARAMETERS

SUBMITTED_FIELDS = (
    *('joints2d', 'joints3d', 'vertices'),
    *(f'smplx_{name}' for name in PARAMETERS),
)
"""Fields of predictions that are submitted."""
_UNPREDICTED = ('leye_pose', 'reye_pose')
_COLUMNS = ('kid', 'occlusion', 'orientation', 'x')


@dataclass(frozen=True)
class AGORAPersons:
    """Predictions of an image.

    Args:
        name: Of the image, see
            :func:`~aios.evaluation.agora.ground_truth.image_name`.
        scores: ``(P,)``.  Persons are in the official order, which decides
            ties: file names sorted as strings.
        joints2d: ``(P, 24, 2)`` pixels at 3840 x 2160.
        boxes: ``(P, 4)`` xyxy around the submitted keypoints.
        bodies: Function from rows ``(M,)`` to joints ``(M, 127, 3)`` and
            vertices ``(M, 10475, 3)``, meters.
        broken: Number of predictions left out because they are not finite.
    """

    name: str
    scores: np.ndarray
    joints2d: np.ndarray
    boxes: np.ndarray
    bodies: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    broken: int = 0


class AGORAEvaluator:
    """Evaluates images and aggregates their records.

    Args:
        vertex_ids: Of the parts, see
            :func:`~aios.evaluation.agora.bodies.load_part_vertices`.
        protocol: Official or corrected rules.
        thresholds: Score thresholds to evaluate; predictions with a lower
            score are left out.
    """

    def __init__(
        self,
        vertex_ids: Mapping[str, np.ndarray],
        protocol: AGORAProtocol = AGORAProtocol.OFFICIAL,
        thresholds: Sequence[float] = (0.0,),
    ) -> None:
        self.vertex_ids = vertex_ids
        self.protocol = protocol
        self.thresholds = tuple(thresholds)

    def compare(
        self, truth: AGORAImage, persons: AGORAPersons | None
    ) -> dict[str, Any]:
        """Match the persons of an image and compute their errors.

        Args:
            truth: The true persons.
            persons: Predictions; ``None`` if there are none.

        Returns:
            A record with a few numbers per person, for :meth:`table`.
        """
        # Officially, persons too occluded to be matched count as missed.
        official = self.protocol.is_official
        counted = truth.valid if official else truth.visible
        half = IMAGE_SIZE[0] / 2
        distance = np.abs(truth.joints2d[counted, 0, 0] - half) / half
        record: dict[str, Any] = {
            'name': truth.name,
            'kid': truth.kid[counted],
            'occlusion': truth.occlusion[counted],
            'orientation': truth.orientation[counted],
            # Bins do not include their lower edges.
            'x': distance.clip(1e-6, 1),
        }
        size = len(self.thresholds), len(counted)
        match = np.full(size, -1)
        wrong, count = np.zeros((2, size[0]), int)
        rows: dict[tuple[int, int], int] = {}
        if persons is not None:
            costs, overlaps = self._compare_keypoints(truth, persons)
            for t, threshold in enumerate(self.thresholds):
                keep = np.flatnonzero(persons.scores >= threshold)
                count[t] = len(keep)
                pairs, wrong[t] = match_agora(
                    costs[keep], overlaps[keep], truth.visible, self.protocol
                )
                for prediction, person in pairs:
                    pair = int(keep[prediction]), int(person)
                    match[t, person] = rows.setdefault(pair, len(rows))
        record['match'] = match[:, counted]
        record['wrong'], record['predictions'] = wrong, count
        record['broken'] = persons.broken if persons is not None else 0
        record['errors'] = self._errors(truth, persons, list(rows))
        return record

    def without_truth(self, persons: AGORAPersons) -> dict[str, Any]:
        """Count predictions of an image that the ground truth lacks.

        Returns:
            A record for :meth:`summary`.
        """
        counts = [int((persons.scores >= t).sum()) for t in self.thresholds]
        return {'name': persons.name, 'without_truth': counts}

    def _compare_keypoints(
        self, truth: AGORAImage, persons: AGORAPersons
    ) -> tuple[np.ndarray, np.ndarray]:
        costs = agora_costs(
            persons.joints2d,
            truth.joints2d[:, :NUM_MATCH_JOINTS],
            self.protocol,
        )
        boxes = keypoint_boxes(truth.joints2d)
        return costs, pairwise_iou(persons.boxes, boxes, pixel=1)

    def _errors(
        self,
        truth: AGORAImage,
        persons: AGORAPersons | None,
        pairs: list[tuple[int, int]],
    ) -> np.ndarray:
        """Errors ``(U, 8)`` in millimeters."""
        if persons is None or not pairs:
            return np.zeros((0, len(AGORA_ERRORS)))
        predicted, true = np.array(pairs).T
        errors = agora_errors(
            persons.bodies(predicted),
            (truth.joints3d[true], truth.vertices()[true]),
            self.vertex_ids,
            self.protocol,
        )
        if not np.isfinite(errors).all():
            raise ValueError(
                f'{truth.name}: vertices of a matched body are not finite; '
                'its parameters are too large'
            )
        return errors * MILLIMETERS

    def table(
        self, records: Sequence[Mapping[str, Any]], index: int = 0
    ) -> AGORATable:
        """Persons of all images at one of the thresholds.

        Args:
            records: Of :meth:`compare`.  Their order does not matter.
            index: Of the threshold.
        """
        records = sorted(records, key=lambda record: record['name'])
        columns: dict[str, list[np.ndarray]] = {
            name: [r[name] for r in records] for name in _COLUMNS
        }
        found, errors, seen = [], [], []
        for record in records:
            match = record['match'][index]
            found.append(match >= 0)
            seen.append(np.full(len(match), record['predictions'][index] > 0))
            rows = np.zeros((len(match), len(AGORA_ERRORS)))
            rows[match >= 0] = record['errors'][match[match >= 0]]
            errors.append(rows)
        return AGORATable(
            found=np.concatenate(found),
            errors=np.concatenate(errors),
            has_predictions=np.concatenate(seen),
            wrong=int(sum(r['wrong'][index] for r in records)),
            **{name: np.concatenate(c) for name, c in columns.items()},
        )

    def summary(
        self, records: Sequence[Mapping[str, Any]], index: int = 0
    ) -> dict[str, float]:
        """The leaderboard's numbers at one of the thresholds.

        Args:
            records: Of :meth:`compare` and :meth:`without_truth`.
            index: Of the threshold.

        Returns:
            See :func:`~aios.evaluation.functional.summarize_agora`, plus
            ``images`` and ``images-with-predictions``, and the predictions
            left out, ``predictions-not-finite`` and
            ``predictions-without-ground-truth``.
        """
        others = [r['without_truth'] for r in records if 'without_truth' in r]
        records = [r for r in records if 'without_truth' not in r]
        result = summarize_agora(self.table(records, index), self.protocol)
        result['images'] = len(records)
        seen = sum(r['predictions'][index] > 0 for r in records)
        result['images-with-predictions'] = int(seen)
        result['predictions-not-finite'] = sum(r['broken'] for r in records)
        result['predictions-without-ground-truth'] = sum(
            counts[index] for counts in others
        )
        return result


def persons_of(
    img_path: str,
    size: Sequence[int],
    persons: Mapping[str, np.ndarray],
    bodies: SubmittedBodies | None = None,
    broken: int = 0,
) -> AGORAPersons:
    """Convert predictions of a model to AGORA's conventions.

    Args:
        img_path: The image.
        size: Its height and width.
        persons: See :func:`aios.results.finite_instances`.
        bodies: Poses persons if there are no vertices.
        broken: Number of predictions left out because they are not finite.

    Raises:
        ValueError: If the image has another shape than those of AGORA,
            or there are neither vertices nor ``bodies``.
    """
    scale = agora_scale(img_path, size)
    joints = persons['joints2d'][:, :NUM_MATCH_JOINTS] * scale
    joints = joints.astype(np.float32)  # as they are submitted
    # Numbered by score, sorted as names of files: 0, 1, 10, 11, 2, ...
    numbered = np.argsort(-persons['scores'], kind='stable')
    order = numbered[sorted(range(len(numbered)), key=str)]
    if 'vertices' not in persons and bodies is None:
        raise ValueError(
            f'{img_path}: predictions have no vertices; set '
            'test_cfg.with_vertices=True in the model'
        )
    if 'vertices' not in persons:
        for name in PARAMETERS:
            if f'smplx_{name}' not in persons and name not in _UNPREDICTED:
                raise ValueError(f'{img_path}: lacks smplx_{name}')

    def pose(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows = order[index]
        if 'vertices' in persons:
            return persons['joints3d'][rows, :127], persons['vertices'][rows]
        assert bodies is not None
        return bodies([submitted_person(persons, r, joints) for r in rows])

    return AGORAPersons(
        image_name(img_path),
        persons['scores'][order],
        joints[order],
        keypoint_boxes(joints[order]),
        pose,
        broken,
    )


def agora_scale(img_path: str, size: Sequence[int]) -> np.ndarray:
    """Factors ``(2,)`` from pixels of an image to those at 3840 x 2160.

    Raises:
        ValueError: If the image has another shape than those of AGORA.
    """
    height, width = size[:2]
    scale = np.array(IMAGE_SIZE) / (width, height)
    if abs(scale[0] / scale[1] - 1) > 1e-3:
        raise ValueError(
            f'{img_path}: image size must be 3840 x 2160 or 1280 x 720 '
            f'pixels, got {width} x {height}'
        )
    return scale


def submitted_person(
    persons: Mapping[str, np.ndarray],
    row: int,
    joints: np.ndarray,
    variant: str = 'params',
) -> dict[str, Any]:
    """Content of the submitted file of one person.

    Args:
        persons: See :func:`aios.results.predictions_of`.
        row: Of the person.
        joints: ``(P, 24, 2)`` of all persons, in the pixels to submit.
        variant: ``'params'``, or ``'verts'``: the mesh without translation.
    """
    content: dict[str, Any] = {'joints': _plain(joints[row])}
    if variant == 'verts':
        content['verts'] = _plain(persons['vertices'][row])
        content['allSmplJoints3d'] = _plain(persons['joints3d'][row, :127])
        return content
    content['params'] = {
        # Eye poses are not predicted; zero looks straight ahead.
        name: _plain(persons[f'smplx_{name}'][row][None])
        if f'smplx_{name}' in persons
        else np.zeros((1, 3 * triples), np.float32)
        for name, triples in PARAMETERS.items()
    }
    return content


def _plain(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, np.float32)
