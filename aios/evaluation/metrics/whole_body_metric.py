# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Detection, joint and surface metrics of whole-body models.

Symbols: ``P`` predictions of an image, ``n`` its persons, ``M`` matched
pairs, ``N`` matched persons of all images, ``J`` = 137 joints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.logging import print_log

from aios.evaluation.analysis import FROM_144, PARTS
from aios.evaluation.functional import (
    DetectionCounts,
    align_roots,
    average_precision,
    match_greedy,
    mean_point_error,
    pairwise_iou,
    procrustes_point_error,
    unmatched_in_regions,
)
from aios.evaluation.functional.errors import MILLIMETERS
from aios.evaluation.samples import (
    GroundTruthBodies,
    crowds_of,
    ground_truth_of,
    name_of,
)
from aios.registry import METRICS
from aios.results import finite_predictions_of
from aios.structures import PELVIS, SMPLX_137

from .base import NumberMetric, image_key, one_record_per_image

# Joints of each group, and the joint at which they are aligned.
_MEASURES: Mapping[str, tuple[list[int], int]] = {
    'all': (list(range(len(SMPLX_137))), PELVIS),
    **PARTS,
}


@METRICS.register_module()
class WholeBodyMetric(NumberMetric):
    """Detection, joint errors and, with a body model, surface errors.

    Predictions and persons are matched as in detection benchmarks, see
    :func:`~aios.evaluation.functional.match_greedy`.  Reported are

    - ``precision``, ``recall``, ``F1`` of persons with a score of at least
      ``score_thr``, and ``AP``, which needs no threshold;
    - ``MPJPE-{all,body,lhand,rhand,face}`` and ``PA-MPJPE-...``: mean joint
      error of matched persons in millimeters, aligned at the pelvis, wrists
      or neck, or by the best similarity;
    - ``mean-pose-MPJPE-...``: the error of a constant prediction, the mean
      true pose of the matched persons, and ``gain-...``: the relative
      improvement over it;
    - ``MPVPE``, ``PA-MPVPE``: the same of all vertices, aligned at the
      pelvis, if ``body_model`` is given and predictions have vertices;
    - ``images``, ``persons``, ``predictions``, ``matched``, and
      ``persons-...``, the number of persons of each mean;
      ``predictions-not-finite`` and ``predictions-in-crowds``, which are
      left out.

    As in COCO's evaluation, a prediction that matches no person does not
    count if a share of ``iou_thr`` of its box lies in a crowd, which the
    dataset gives with ``ignore_crowds=True``.

    Metrics over zero persons are omitted; no value is NaN.

    Args:
        score_thr: Predictions with a lower score count as absent, except
            for ``AP``.
        iou_thr: A prediction whose box overlaps less matches no person.
        body_model: Config of the SMPL-X layer of the ground truth.  Without
            a ``gender`` each person has the body of its gender.
        **kwargs: See :class:`mmengine.evaluator.BaseMetric`.
    """

    default_prefix = 'whole_body'

    def __init__(
        self,
        score_thr: float = 0.3,
        iou_thr: float = 0.5,
        body_model: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.score_thr = score_thr
        self.iou_thr = iou_thr
        self.bodies = GroundTruthBodies(body_model) if body_model else None

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Reduce each image to scores, counts, joints and errors."""
        for sample in data_samples:
            true = ground_truth_of(sample)
            predicted, broken = finite_predictions_of(
                sample, 0.0, ('bboxes', 'joints3d', 'vertices')
            )
            if 'joints3d' not in predicted:
                raise ValueError(
                    f'{name_of(sample)}: predictions have no joints3d, only '
                    f'{sorted(predicted)}; WholeBodyMetric is for models of '
                    'bodies'
                )
            overlaps = pairwise_iou(predicted['bboxes'], true['bboxes'])
            scores = predicted['scores']
            pairs = match_greedy(scores, overlaps, self.iou_thr)
            ignored = unmatched_in_regions(
                predicted['bboxes'], crowds_of(sample), pairs, self.iou_thr
            )
            hits = np.isin(np.arange(len(scores)), pairs[:, 0])
            record = {
                'key': image_key(sample),
                'persons': len(true['bboxes']),
                'broken': broken,
                'in_crowds': int((scores[ignored] >= self.score_thr).sum()),
                'scores': scores[~ignored],
                'hits': hits[~ignored],
            }
            good = pairs[scores[pairs[:, 0]] >= self.score_thr]
            record |= _matched_joints(predicted, true, good)
            if self.bodies is not None and 'vertices' in predicted:
                record |= _surface_errors(predicted, true, good, self.bodies)
            self.results.append(record)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Aggregate the images.

        Args:
            results: Of :meth:`process`.  A repeated image counts once.
        """
        records = one_record_per_image(results)
        metrics = self._detection(records)
        for name, errors in self._errors(records):
            if len(errors):
                metrics[name] = float(errors.mean())
        for measure in _MEASURES:
            base = metrics.get(f'mean-pose-MPJPE-{measure}', 0)
            if base > 0:
                error = metrics[f'MPJPE-{measure}']
                metrics[f'gain-{measure}'] = 1 - error / base
        if records and not metrics['matched']:
            print_log(
                'no person was matched, so there are no joint errors',
                logger='current',
            )
        return metrics

    def _detection(self, records: list[dict]) -> dict[str, float]:
        scores = _concatenate([r['scores'] for r in records])
        hits = _concatenate([r['hits'] for r in records]).astype(bool)
        persons = sum(r['persons'] for r in records)
        seen = scores >= self.score_thr
        found = int((hits & seen).sum())
        counts = DetectionCounts(
            found, int(seen.sum()) - found, persons - found
        )
        return {
            'precision': counts.precision,
            'recall': counts.recall,
            'F1': counts.f1,
            'AP': average_precision(scores, hits, persons),
            'images': len(records),
            'persons': persons,
            'predictions': int(seen.sum()),
            'predictions-not-finite': sum(r['broken'] for r in records),
            'predictions-in-crowds': sum(r['in_crowds'] for r in records),
            'matched': found,
        }

    def _errors(self, records: list[dict]) -> Iterator[tuple[str, np.ndarray]]:
        """Names of metrics, and errors of the persons with a known one."""
        for name in ('MPVPE', 'PA-MPVPE'):
            found = [r[name] for r in records if name in r]
            yield name, _concatenate(found)
        if not any(len(r['true_joints']) for r in records):
            return
        predicted, true, known = (
            np.concatenate([r[name] for r in records])
            for name in ('predicted_joints', 'true_joints', 'joint_known')
        )
        for measure, (joints, root) in _MEASURES.items():
            mask = known[:, joints] & known[:, [root]]
            points = align_roots(predicted, predicted[:, root])[:, joints]
            target = align_roots(true, true[:, root])[:, joints]
            mean = _mean_pose(target, mask)
            for kind, (error, counts) in {
                'MPJPE': mean_point_error(points, target, mask),
                'PA-MPJPE': procrustes_point_error(points, target, mask),
                'mean-pose-MPJPE': mean_point_error(mean, target, mask),
            }.items():
                yield f'{kind}-{measure}', error[counts] * MILLIMETERS
            yield f'persons-{measure}', np.array([mask.any(1).sum()])


def _matched_joints(
    predicted: Mapping[str, np.ndarray],
    true: Mapping[str, np.ndarray],
    pairs: np.ndarray,
) -> dict[str, np.ndarray]:
    """Joints of matched persons, ``(M, J, 3)``, and the labeled ones."""
    joints = predicted['joints3d'][pairs[:, 0]][:, FROM_144]
    known = true['keypoints3d_visible'][pairs[:, 1]] > 0
    known &= true['has_3d'][pairs[:, 1], None] > 0
    return {
        'predicted_joints': joints.astype(np.float32),
        'true_joints': true['keypoints3d'][pairs[:, 1]],
        'joint_known': known,
    }


def _surface_errors(
    predicted: Mapping[str, np.ndarray],
    true: Mapping[str, np.ndarray],
    pairs: np.ndarray,
    bodies: GroundTruthBodies,
) -> dict[str, np.ndarray]:
    """Errors of all vertices, in millimeters, of persons with a body."""
    has_body = true['smplx_pose_valid'][pairs[:, 1], 0] > 0
    has_body &= true['smplx_betas_valid'][pairs[:, 1]] > 0
    pairs = pairs[has_body]
    if not len(pairs):
        return {'MPVPE': np.empty(0), 'PA-MPVPE': np.empty(0)}
    vertices, joints = bodies(true, pairs[:, 1])
    points = predicted['vertices'][pairs[:, 0]]
    pelvis = predicted['joints3d'][pairs[:, 0], 0]
    error, _ = mean_point_error(
        align_roots(points, pelvis), align_roots(vertices, joints[:, 0])
    )
    aligned_error, _ = procrustes_point_error(points, vertices)
    return {
        'MPVPE': error * MILLIMETERS,
        'PA-MPVPE': aligned_error * MILLIMETERS,
    }


def _mean_pose(joints: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Mean position ``(1, J, 3)`` of each joint over its known labels."""
    weight = known[..., None]
    total = np.where(weight, joints, 0).sum(0, dtype=np.float64)
    return (total / np.maximum(weight.sum(0), 1))[None]


def _concatenate(arrays: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(arrays) if arrays else np.empty(0)
