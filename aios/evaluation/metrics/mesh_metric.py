# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Errors of predicted meshes.

Symbols: ``P`` predictions of an image, ``G`` its persons, ``M`` matched
pairs, ``V`` vertices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.logging import print_log

from aios.evaluation.functional import (
    DetectionCounts,
    MeshPart,
    keypoint_box_iou,
    keypoint_cost,
    match_best_overlap,
    match_hungarian,
    match_one_per_image,
    mesh_errors,
    normalized_error,
    pairwise_iou,
    unmatched_in_regions,
)
from aios.evaluation.functional.errors import MILLIMETERS
from aios.evaluation.functional.mesh import Errors
from aios.evaluation.mesh_parts import load_mesh_parts
from aios.evaluation.samples import (
    GroundTruthBodies,
    crowds_of,
    ground_truth_of,
    inside_image,
    name_of,
)
from aios.registry import METRICS
from aios.results import as_array, finite_predictions_of
from aios.structures import SMPLX_137, SMPLX_ROTATIONS_53, joint_mapping
from aios.utils.choices import check_choice

from .base import NumberMetric, image_key, one_record_per_image

_MIN_OVERLAP = 0.1
_BODY = list(SMPLX_137.groups['body'])
_BODY_FROM_144 = joint_mapping('smplx_144', 'smplx_137')[_BODY]
# A part is annotated if this rotation of it is valid.
_PART_ROTATION = {
    'lhand': SMPLX_ROTATIONS_53.groups['left_hand'][0],
    'rhand': SMPLX_ROTATIONS_53.groups['right_hand'][0],
    'face': SMPLX_ROTATIONS_53.groups['face'][0],
}
_COUNTS = (
    *('persons', 'persons-wanted', 'persons-without-body'),
    *('predictions', 'predictions-not-finite', 'predictions-in-crowds'),
    *('matched', 'measured', 'registered-meshes'),
)

Persons = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class _Scene:
    """Predictions and true persons of an image, in original pixels."""

    predicted: Persons
    true: Persons
    size: tuple[float, float]
    weights: np.ndarray

    @cached_property
    def joints(self) -> tuple[np.ndarray, np.ndarray]:
        """25 body joints, ``(P, 25, 2)`` and ``(G, 25, 2)``."""
        predicted = self.predicted['joints2d'][:, _BODY_FROM_144]
        return predicted, self.true['keypoints'][:, _BODY]

    @property
    def costs(self) -> np.ndarray:
        return keypoint_cost(*self.joints, self.size, self.weights)


def _one_per_image(scene: _Scene) -> np.ndarray:
    return match_one_per_image(scene.predicted['scores'], scene.costs)


def _hungarian(scene: _Scene) -> np.ndarray:
    overlaps = keypoint_box_iou(*scene.joints, scene.weights)
    return match_hungarian(scene.costs, overlaps >= _MIN_OVERLAP)


def _gt_box(scene: _Scene) -> np.ndarray:
    overlaps = pairwise_iou(scene.predicted['bboxes'], scene.true['bboxes'])
    return match_best_overlap(overlaps)


@dataclass(frozen=True)
class _Match:
    """A matching protocol.

    Args:
        pair: Function that matches predictions and persons.
        score_thr: Default score threshold.
        detects: Whether the protocol measures detection.
        max_persons: Number of persons that are matched; None for all.
    """

    pair: Callable[[_Scene], np.ndarray]
    score_thr: float = 0.0
    detects: bool = False
    max_persons: int | None = None


MATCHES: Mapping[str, _Match] = {
    'one_per_image': _Match(_one_per_image, max_persons=1),
    'hungarian': _Match(_hungarian, score_thr=0.3, detects=True),
    'gt_box': _Match(_gt_box),
}
"""Protocols by name, see :class:`SMPLXMeshMetric`."""


@METRICS.register_module()
class SMPLXMeshMetric(NumberMetric):
    """Errors of SMPL-X meshes by part, in millimeters.

    Reported are (see ``docs/en/evaluation.md``)

    - ``MPVPE-{all,hand,lhand,rhand,face}``, aligned at pelvis, wrists and
      neck, and ``PA-MPVPE-...`` after the best similarity;
    - ``MPJPE-{body,hand,lhand,rhand}`` and ``PA-MPJPE-...`` of 14 body and
      21 hand joints;
    - counts: ``images``; ``persons``; ``persons-wanted``, those the
      protocol evaluates, and ``missed``, the unmatched ones among them;
      ``persons-without-body``, which have no fit; ``predictions`` with a
      sufficient score; ``predictions-not-finite``, and unmatched ones with
      half of their box in a crowd (``predictions-in-crowds``), which are
      left out;
      ``matched``; ``measured``, matched persons with a body;
      ``registered-meshes`` among them; and the number of persons of each
      mean, ``persons-MPVPE-face`` ...;
    - with ``match='hungarian'`` also ``precision``, ``recall``, ``F1`` and
      ``NMVE`` = ``MPVPE-all / F1``.

    Means are over persons, independent of the batches.  Metrics over zero
    persons are omitted; no value is NaN.

    Args:
        body_model: Config of the SMPL-X layer of the ground truth.  Without
            ``gender`` each person has the body of its gender.  Files of
            hand and face vertices and of the joint regressors lie beside it.
        match: Matching protocol.  ``'one_per_image'``: the prediction with
            the best score and its nearest person, as in the published
            tables.  ``'hungarian'``: assignment of least cost among
            predictions with a score of at least ``score_thr`` and a keypoint
            box that overlaps by 0.1.  ``'gt_box'``: for each person the
            prediction whose box overlaps most, as for methods that are given
            boxes.
        score_thr: Predictions with a lower score are left out; default 0.3
            for ``'hungarian'``, otherwise 0.
        weighted_match: Weight joints in the match by the confidence of their
            annotation (UBody) instead of equally; absent ones never count.
        in_image: Evaluate only points whose true position is in the image;
            alignment uses all points (UBody).
        per_camera: Also report each camera, ``camera-1/MPVPE-all`` ...; it
            is the folder of an image, as in ``s05/box_use_01/1/00100.jpg``
            (ARCTIC).
        **kwargs: See :class:`mmengine.evaluator.BaseMetric`.  Each benchmark
            has its own ``prefix``; see ``configs/_base_/datasets``.

    Raises:
        ValueError: If ``match`` is unknown.
    """

    default_prefix = 'mesh'
    fields: tuple[str, ...] = ('bboxes', 'joints2d', 'vertices')
    """Required fields of predictions, which must be finite."""
    all_annotated = True
    """Whether all persons are labeled, so that precision is defined."""

    def __init__(
        self,
        body_model: Mapping[str, Any] | None = None,
        match: str = 'hungarian',
        score_thr: float | None = None,
        weighted_match: bool = False,
        in_image: bool = False,
        per_camera: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_choice('match', match, MATCHES)
        self.match = MATCHES[match]
        self.score_thr = (
            self.match.score_thr if score_thr is None else score_thr
        )
        self.weighted_match = weighted_match
        self.in_image = in_image
        self.per_camera = per_camera
        self.body_model = dict(body_model or dict(type='SMPLXLayer'))
        self.bodies = GroundTruthBodies(self.body_model)

    @cached_property
    def parts(self) -> Mapping[str, MeshPart]:
        """Evaluated parts; read with the first image."""
        return load_mesh_parts(self.body_model.get('model_path'))

    def has_body(self, true: Persons) -> np.ndarray:
        """``(G,)`` bool: persons with a pose and a shape."""
        pose, betas = true['smplx_pose_valid'], true['smplx_betas_valid']
        return (pose[:, 0] > 0) & (betas > 0)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Reduce each image to errors of persons, and counts."""
        for sample in data_samples:
            self.results.append(self._measure(sample))

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Aggregate the images.

        Args:
            results: Of :meth:`process`.  A repeated image counts once.
        """
        records = one_record_per_image(results)
        metrics = self._counts(records) | _means(records)
        if 'F1' in metrics and 'MPVPE-all' in metrics:
            nmve = normalized_error(metrics['MPVPE-all'], metrics['F1'])
            if nmve is not None:
                metrics['NMVE'] = nmve
        for group in sorted({r['group'] for r in records if r['group']}):
            members = [r for r in records if r['group'] == group]
            for name, value in _means(members).items():
                metrics[f'{group}/{name}'] = value
        if records and not metrics['measured']:
            print_log(
                'no person was matched, so there are no errors',
                logger='current',
            )
        return metrics

    def _counts(self, records: list[dict]) -> dict[str, float]:
        total = {name: sum(r[name] for r in records) for name in _COUNTS}
        missed = total['persons-wanted'] - total['matched']
        counts: dict[str, float] = {'images': len(records)}
        counts |= total | {'missed': missed}
        if self.match.detects:
            wrong = total['predictions'] - total['matched']
            found = DetectionCounts(total['matched'], wrong, missed)
            counts['recall'] = found.recall
            if self.all_annotated:
                counts |= {'precision': found.precision, 'F1': found.f1}
        return counts

    def _measure(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        true = ground_truth_of(sample)
        predicted, broken = self._predictions(sample)
        height, width = sample['ori_shape'][:2]
        weights = true['keypoints_visible'][:, _BODY]
        if not self.weighted_match:
            labels = as_array(sample['gt_instances']['keypoints'])[:, _BODY]
            # Labels outside the image count; absent ones are zeros.
            weights = (weights > 0) | labels.any(-1)
        scene = _Scene(predicted, true, (width, height), weights)
        pairs = self.match.pair(scene)
        in_crowds = unmatched_in_regions(
            predicted['bboxes'], crowds_of(sample), pairs
        ).sum()
        registered = 'vertices' in true
        has_body = self.has_body(true) | registered
        measured = pairs[has_body[pairs[:, 1]]]
        persons = len(has_body)
        return {
            'key': image_key(sample),
            'group': _camera(sample) if self.per_camera else None,
            'persons': persons,
            'persons-wanted': min(persons, self.match.max_persons or persons),
            'persons-without-body': int((~has_body).sum()),
            'predictions': len(predicted['scores']) - int(in_crowds),
            'predictions-not-finite': broken,
            'predictions-in-crowds': int(in_crowds),
            'matched': len(pairs),
            'measured': len(measured),
            'registered-meshes': len(measured) * registered,
            'errors': self._errors(sample, predicted, true, measured),
            **self._details(sample, predicted, true, measured),
        }

    def _predictions(self, sample: Mapping[str, Any]) -> tuple[Persons, int]:
        """Persons with sufficient scores, and the number not finite."""
        needed = 'vertices' in self.fields
        if needed and 'vertices' not in sample['pred_instances']:
            raise ValueError(
                f'{name_of(sample)}: predictions have no meshes; set '
                'test_cfg.with_vertices=True in the model'
            )
        return finite_predictions_of(sample, self.score_thr, self.fields)

    def _details(
        self,
        sample: Mapping[str, Any],
        predicted: Persons,
        true: Persons,
        pairs: np.ndarray,
    ) -> dict[str, Any]:
        """Additional entries of an image's record."""
        return {}

    def _errors(
        self,
        sample: Mapping[str, Any],
        predicted: Persons,
        true: Persons,
        pairs: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Errors by name, millimeters, of the persons with a known one."""
        if not len(pairs):
            return {}
        persons = pairs[:, 1]
        known = {}
        if 'vertices' in true:
            meshes = true['vertices'][persons]
            offset = np.zeros((len(persons), 3))
        else:
            meshes, _ = self.bodies(true, persons)
            offset = true['smplx_transl'][persons]
            for part, rotation in _PART_ROTATION.items():
                known[part] = true['smplx_pose_valid'][persons, rotation] > 0
        visible = None
        if self.in_image:
            visible = inside_image(sample, true, persons, offset)
        errors = mesh_errors(
            predicted['vertices'][pairs[:, 0]],
            meshes,
            self.parts,
            known,
            visible,
        )
        return known_millimeters(errors)


def known_millimeters(errors: Errors) -> dict[str, np.ndarray]:
    """Known errors in millimeters, from errors in meters."""
    return {
        name: error[known] * MILLIMETERS
        for name, (error, known) in errors.items()
    }


def _means(records: list[dict]) -> dict[str, float]:
    """Means over persons, and their numbers of persons."""
    names = sorted({name for r in records for name in r['errors']})
    metrics: dict[str, float] = {}
    for name in names:
        errors = np.concatenate(
            [r['errors'][name] for r in records if name in r['errors']]
        )
        if len(errors):
            metrics[name] = float(errors.mean())
        if not name.startswith('PA-'):
            metrics[f'persons-{name}'] = len(errors)
    return metrics


def _camera(sample: Mapping[str, Any]) -> str:
    return f'camera-{Path(sample["img_path"]).parent.name}'
