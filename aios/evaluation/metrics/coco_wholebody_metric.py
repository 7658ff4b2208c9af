# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Average precision of whole-body keypoints, as COCO computes it.

Symbols: ``P`` predictions of an image, ``K`` keypoints of a part.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmengine.fileio import get_text
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from aios.registry import METRICS
from aios.results import finite_predictions_of
from aios.structures import (
    COCO_WHOLEBODY_133,
    JOINT_SETS,
    JointSet,
    joint_mapping,
)
from aios.structures.keypoint_similarity import COCO_SIGMAS
from aios.utils.choices import check_choice

from .base import NumberMetric, records_by_name

# Standard deviations of annotators, relative to the size of the person, of
# COCO and COCO-WholeBody (as MMPose, Apache-2.0, lists them).
_HAND = [0.029, 0.022, 0.035, 0.037, 0.047, 0.026, 0.025, 0.024, 0.035, 0.018]
_HAND += [0.024, 0.022, 0.026, 0.017, 0.021, 0.021, 0.032, 0.02, 0.019]
_HAND += [0.022, 0.031]
KEYPOINT_SIGMAS: Mapping[str, Sequence[float]] = {
    'keypoints': COCO_SIGMAS,
    'foot_kpts': [0.068, 0.066, 0.066, 0.092, 0.094, 0.094],
    'face_kpts': [
        *(0.042, 0.043, 0.044, 0.043, 0.04, 0.035, 0.031, 0.025, 0.02),
        *(0.023, 0.029, 0.032, 0.037, 0.038, 0.043, 0.041, 0.045),
        *(0.013, 0.012, 0.011, 0.011, 0.012, 0.012, 0.011, 0.011, 0.013),
        *(0.015, 0.009, 0.007, 0.007, 0.007, 0.012, 0.009, 0.008, 0.016),
        *(0.01, 0.017, 0.011, 0.009, 0.011, 0.009, 0.007, 0.013, 0.008),
        *(0.011, 0.012, 0.01, 0.034, 0.008, 0.008, 0.009, 0.008, 0.008),
        *(0.007, 0.01, 0.008, 0.009, 0.009, 0.009, 0.007, 0.007, 0.008),
        *(0.011, 0.008, 0.008, 0.008, 0.01, 0.008),
    ],
    'lefthand_kpts': _HAND,
    'righthand_kpts': _HAND,
}
"""Sigmas of the keypoints of each field of an annotation, in the order of
the 133 keypoints."""

# Fields of annotations that form a part.
_PARTS: Mapping[str, tuple[str, ...]] = {
    'body': ('keypoints',),
    'foot': ('foot_kpts',),
    'face': ('face_kpts',),
    'lhand': ('lefthand_kpts',),
    'rhand': ('righthand_kpts',),
    'wholebody': tuple(KEYPOINT_SIGMAS),
}
_STATISTICS = ('AP', 'AP50', 'AP75', 'AP-M', 'AP-L', 'AR')  # COCO's order
_MAX_PERSONS = 20  # COCO evaluates at most 20 detections per image
_NUM_BODY = len(KEYPOINT_SIGMAS['keypoints'])
_SIZES = {
    'bbox': 4,
    'area': 1,
    **{name: 3 * len(sigmas) for name, sigmas in KEYPOINT_SIGMAS.items()},
}
"""Length of the fields of an annotation."""


def to_coco_wholebody(
    joints: np.ndarray, source: str | JointSet = 'smplx_144'
) -> np.ndarray:
    """Convert joints of the body model to COCO-WholeBody keypoints.

    Hips are those of the body model; wrists replace the hand roots, which
    SMPL-X lacks.

    Args:
        joints: ``(..., J, C)``.
        source: Their joint set.

    Returns:
        ``(..., 133, C)``.

    Raises:
        ValueError: If the joint set lacks one of the keypoints.
    """
    source = JOINT_SETS[source] if isinstance(source, str) else source
    mapping = joint_mapping(source, COCO_WHOLEBODY_133, approximate=True)
    mapping = mapping.copy()
    for side in ('left', 'right'):
        root = COCO_WHOLEBODY_133.index(f'{side}_hand_root')
        mapping[root] = source.index(f'{side}_wrist')
    if (mapping < 0).any():
        lacking = COCO_WHOLEBODY_133.names[int(mapping.argmin())]
        raise ValueError(f'joint set {source.name!r} lacks {lacking!r}')
    return joints[..., mapping, :]


@METRICS.register_module()
class CocoWholeBodyMetric(NumberMetric):
    """COCO's AP by object keypoint similarity, for each part.

    Reported are ``AP-{body,foot,face,hand,lhand,rhand,wholebody}``,
    likewise ``AP50``, ``AP75``, ``AP-M``, ``AP-L`` (persons of medium and
    large area) and ``AR``, in [0, 1]; ``hand`` is the mean of both sides;
    ``images``, ``predictions``, ``predictions-not-finite``, which are left
    out, and ``persons-...`` with keypoints of a part.  As in pycocotools,
    predictions at crowds and at persons without keypoints are ignored.
    Metrics over zero persons are omitted.

    Args:
        ann_file: ``coco_wholebody_val_v1.0.json`` or a file of its format.
        body_keypoints: Source of the 17 body keypoints: joints of the
            ``'smplx'`` body, or the ``'detected'`` keypoints.
        **kwargs: See :class:`mmengine.evaluator.BaseMetric`.

    Raises:
        ValueError: If ``body_keypoints`` is unknown.
    """

    default_prefix = 'COCO-WholeBody'

    def __init__(
        self, ann_file: str, body_keypoints: str = 'smplx', **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        sources = 'smplx', 'detected'
        check_choice('body_keypoints', body_keypoints, sources)
        self.ann_file = ann_file
        self.body_keypoints = body_keypoints

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Store keypoints and scores of the best persons."""
        for sample in data_samples:
            fields = ['joints2d']
            if self.body_keypoints == 'detected':
                fields.append('keypoints')
            persons, broken = finite_predictions_of(sample, 0.0, fields)
            points = to_coco_wholebody(persons['joints2d'])
            if self.body_keypoints == 'detected':
                points[:, :_NUM_BODY] = persons['keypoints']
            order = np.argsort(-persons['scores'], kind='stable')
            best = order[:_MAX_PERSONS]
            self.results.append(
                {
                    'img_id': sample['img_id'],
                    'img_path': str(sample.get('img_path', '')),
                    'broken': broken,
                    'keypoints': points[best].astype(np.float32),
                    'scores': persons['scores'][best],
                }
            )

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Evaluate with pycocotools.

        Args:
            results: Of :meth:`process`.  A repeated image counts once;
                absent images are not evaluated.

        Raises:
            ValueError: If the file has no such image, or persons without
                whole-body keypoints, or if two images have the same id.
        """
        by_id = records_by_name(
            results, 'img_id', 'id', 'test one dataset at a time'
        )
        records = list(by_id.values())
        images, persons = self._read(list(by_id))
        metrics: dict[str, float] = {
            'images': len(records),
            'predictions': sum(len(r['scores']) for r in records),
            'predictions-not-finite': sum(r['broken'] for r in records),
        }
        first = 0
        slices: dict[str, slice] = {}
        for field, values in KEYPOINT_SIGMAS.items():
            slices[field] = slice(first, first + len(values))
            first += len(values)
        for part, fields in _PARTS.items():
            sigmas = np.concatenate([KEYPOINT_SIGMAS[f] for f in fields])
            rows = np.r_[tuple(slices[f] for f in fields)]
            truth = _coco(images, [_annotation(p, fields) for p in persons])
            found = _coco(images, _predictions(records, rows))
            metrics |= _evaluate(truth, found, sigmas, part)
        for name in _STATISTICS:
            sides = [metrics.get(f'{name}-{s}') for s in ('lhand', 'rhand')]
            known = [value for value in sides if value is not None]
            if known:
                metrics[f'{name}-hand'] = sum(known) / len(known)
        return metrics

    def _read(self, wanted: list[int]) -> tuple[list[dict], list[dict]]:
        """Images that were processed, and their persons."""
        try:
            images, persons = _read_coco(get_text(self.ann_file))
        except RecursionError as error:
            raise ValueError(f'{self.ann_file}: nested too deeply') from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f'{self.ann_file}: not a COCO file ({type(error).__name__}: '
                f'{error})'
            ) from error
        missing = [key for key in wanted if key not in images]
        if missing:
            raise ValueError(
                f'{self.ann_file}: has no image with id {missing[0]!r}; it '
                'must be the annotation file of the evaluated dataset'
            )
        seen = set(wanted)
        persons = [person for person in persons if person['image_id'] in seen]
        for person in persons:
            if fault := _fault(person):
                raise ValueError(
                    f'{self.ann_file}: annotation {person.get("id")} {fault}'
                )
        ids = Counter(person['id'] for person in persons)
        if twice := [key for key, count in ids.items() if count > 1]:
            raise ValueError(
                f'{self.ann_file}: two annotations have the id {twice[0]}'
            )
        return [images[key] for key in sorted(seen)], persons


def _read_coco(text: str) -> tuple[dict[int, dict], list[dict]]:
    """Images by id, and persons."""
    content = json.loads(text)
    persons = [c['id'] for c in content['categories'] if c['name'] == 'person']
    images = {image['id']: image for image in content['images']}
    return images, [
        annotation
        for annotation in content['annotations']
        if annotation['category_id'] in persons
        and annotation['image_id'] in images
    ]


def _fault(person: Mapping[str, Any]) -> str | None:
    """First fault of an annotation, or ``None``."""
    if not isinstance(person.get('id'), int):
        return 'must have an integer id'
    if person.get('iscrowd', 0) not in (0, 1):
        return f'has iscrowd {person["iscrowd"]!r:.80}, must be 0 or 1'
    for name, size in _SIZES.items():
        if name not in person:
            return (
                f'has no {name!r}; use the files of COCO-WholeBody, '
                'https://github.com/jin-s13/COCO-WholeBody'
            )
        try:
            values = np.asarray(person[name], np.float32)
        except (OverflowError, TypeError, ValueError):
            values = np.array(np.nan)
        if values.size != size or not np.isfinite(values).all():
            return f'has another {name} than {size} finite numbers'
    return None


def _annotation(
    person: Mapping[str, Any], fields: Sequence[str]
) -> dict[str, Any]:
    """Annotation for pycocotools with the keypoints of a part."""
    points = [value for field in fields for value in person[field]]
    return {
        'id': person['id'],
        'image_id': person['image_id'],
        'category_id': 1,
        'bbox': person['bbox'],
        'area': person['area'],
        'iscrowd': person.get('iscrowd', 0),
        'keypoints': points,
        'num_keypoints': int((np.array(points[2::3]) > 0).sum()),
    }


def _predictions(
    records: Sequence[Mapping[str, Any]], rows: np.ndarray
) -> list[dict[str, Any]]:
    """Predictions for pycocotools with the keypoints of a part.

    For every part, box and area are those of the 17 body keypoints, as in
    the evaluations of COCO and COCO-WholeBody.  The area decides whether a
    person is medium or large.
    """
    found: list[dict[str, Any]] = []
    for record in records:
        for person, score in zip(
            record['keypoints'].astype(np.float64),
            record['scores'].tolist(),
            strict=True,
        ):
            body, points = person[:_NUM_BODY], person[rows]
            low, size = body.min(0), np.ptp(body, 0)
            flat = np.concatenate((points, np.ones((len(points), 1))), 1)
            found.append(
                {
                    'id': len(found) + 1,
                    'image_id': record['img_id'],
                    'category_id': 1,
                    'bbox': [*low, *size],
                    'area': float(size.prod()),
                    'iscrowd': 0,
                    'keypoints': flat.ravel().tolist(),
                    'score': score,
                }
            )
    return found


def _coco(images: list[dict], annotations: list[dict]) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            'images': images,
            'annotations': annotations,
            'categories': [{'id': 1, 'name': 'person'}],
        }
        coco.createIndex()
    return coco


def _evaluate(
    truth: COCO, found: COCO, sigmas: np.ndarray, part: str
) -> dict[str, float]:
    """COCO's metrics of a part; those over zero persons are omitted."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, found, 'keypoints')
        evaluation.params.kpt_oks_sigmas = sigmas
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    persons = [a for a in truth.dataset['annotations'] if not a['ignore']]
    metrics: dict[str, float] = {f'persons-{part}': len(persons)}
    for name, value in zip(_STATISTICS, evaluation.stats, strict=False):
        if value >= 0:  # -1 where there are no persons
            metrics[f'{name}-{part}'] = float(value)
    return metrics
