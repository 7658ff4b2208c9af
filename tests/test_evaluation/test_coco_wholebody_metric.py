# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""COCO's AP of keypoints, for what was done to perfect predictions."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from toy_persons import numbers_of

from aios.evaluation.metrics import CocoWholeBodyMetric
from aios.evaluation.metrics.coco_wholebody_metric import (
    KEYPOINT_SIGMAS,
    to_coco_wholebody,
)
from aios.structures import COCO_WHOLEBODY_133, SMPLX_144

COUNTS = (3, 1, 2)
PARTS = ('body', 'foot', 'face', 'lhand', 'rhand', 'hand', 'wholebody')
AREA = 100.0**2

Truth = dict[str, Any]
Evaluate = Callable[..., dict[str, float]]


@pytest.fixture
def samples(persons) -> list[DetDataSample]:
    return [persons(n, index) for index, n in enumerate(COUNTS)]


def _annotation(points: np.ndarray, **fields: Any) -> Truth:
    """A person of COCO-WholeBody with all keypoints visible."""
    low, size = points.min(0), np.ptp(points, axis=0)
    labeled = np.concatenate((points, np.full((133, 1), 2.0)), axis=1)
    person = dict(
        fields,
        category_id=1,
        iscrowd=0,
        area=AREA,
        bbox=[*low.tolist(), *size.tolist()],
    )
    first = 0
    for name, sigmas in KEYPOINT_SIGMAS.items():
        rows = labeled[first : first + len(sigmas)]
        person[name] = rows.ravel().tolist()
        first += len(sigmas)
    return person


def make_truth(samples: Sequence[DetDataSample]) -> Truth:
    """An annotation file that says what was predicted."""
    images, persons = [], []
    for sample in samples:
        images.append(
            {
                'id': sample.img_id,
                'file_name': sample.img_path,
                'height': 240,
                'width': 320,
            }
        )
        joints = sample.pred_instances.joints2d.double().numpy()
        for points in to_coco_wholebody(joints):
            keys = dict(id=len(persons) + 1, image_id=sample.img_id)
            persons.append(_annotation(points, **keys))
    category = [{'id': 1, 'name': 'person'}]
    return dict(images=images, annotations=persons, categories=category)


@pytest.fixture
def truth(samples) -> Truth:
    return make_truth(samples)


@pytest.fixture
def evaluate(tmp_path: Path) -> Evaluate:
    def run(truth: Truth, samples, **arguments: Any) -> dict[str, float]:
        path = tmp_path / 'truth.json'
        path.write_text(json.dumps(truth))
        metric = CocoWholeBodyMetric(ann_file=str(path), **arguments)
        return numbers_of(metric, samples)

    return run


def test_perfect(evaluate, truth, samples):
    metrics = evaluate(truth, samples)
    for part in PARTS:
        for name in ('AP', 'AP50', 'AP75', 'AR'):
            assert metrics[f'{name}-{part}'] == pytest.approx(1)
    assert metrics['persons-lhand'] == metrics['predictions'] == 6
    # All persons are large, so there is no number for medium ones.
    assert metrics['AP-L-body'] == pytest.approx(1)
    assert 'AP-M-body' not in metrics


@pytest.mark.parametrize('seed', range(2))
def test_random_files(evaluate, samples, seed):
    """All numbers are those of pycocotools on a file of results.

    It takes box and area of a prediction from the 17 keypoints of its file;
    the keypoints of the other parts are put in afterwards.
    """
    rng = np.random.default_rng(seed)
    truth = make_truth(samples)
    truth['annotations'] = []
    for sample in samples:
        _scatter(sample, truth['annotations'], rng)
    metrics = evaluate(truth, samples)
    first = 0
    for part, fields in (
        ('body', ['keypoints']),
        ('foot', ['foot_kpts']),
        ('face', ['face_kpts']),
        ('lhand', ['lefthand_kpts']),
        ('rhand', ['righthand_kpts']),
        ('wholebody', list(KEYPOINT_SIGMAS)),
    ):
        count = sum(len(KEYPOINT_SIGMAS[field]) for field in fields)
        first = 0 if part == 'wholebody' else first
        rows = slice(first, first + count)
        first += count
        wanted = _numbers_of_pycocotools(truth, samples, fields, rows)
        assert sum(0 < value < 1 for value in wanted.values()) > 3
        for name, value in wanted.items():
            found = metrics.get(f'{name}-{part}', -1)
            assert found == pytest.approx(value, abs=1e-12), (part, name)


def _scatter(sample: DetDataSample, persons: list, rng) -> None:
    """Persons of all sizes and 25 predictions in no order.

    Some persons are crowds or without keypoints of a part; predictions are
    exact, inaccurate, twice, or of nobody, and many have the same score.
    """
    found = sample.pred_instances
    sample.pred_instances = found[torch.zeros(25, dtype=torch.long)]
    shape = to_coco_wholebody(found.joints2d[:1].numpy())[0]
    shape = (shape - shape.min(0)) / np.ptp(shape, axis=0).max()
    joints = found.joints2d[0].numpy()
    joints = (joints - joints.min(0)) / np.ptp(joints, axis=0).max()
    places = [(rng.integers(0, 900, 2), rng.uniform(10, 400)) for _ in 'abcde']
    for place, size in places:
        keys = dict(id=len(persons) + 1, image_id=sample.img_id)
        person = _annotation(shape * size + place, **keys)
        person['area'] = float(size**2 * rng.uniform(0.2, 0.6))
        for name in KEYPOINT_SIGMAS:
            points = np.reshape(person[name], (-1, 3))
            points[:, 2] = rng.integers(0, 3, len(points))
            person[name] = (points * (rng.random() < 0.8)).ravel().tolist()
        person['iscrowd'] = int(rng.random() < 0.2)
        persons.append(person)
    found = sample.pred_instances
    for row in range(25):
        place, size = places[rng.integers(5)]
        noise = rng.normal(0, rng.choice([0, 0.02, 0.1, 1]), joints.shape)
        size = size * rng.choice([1, 1, 0.4, 2])
        found.joints2d[row] = torch.tensor((joints + noise) * size + place)
    found.scores = torch.tensor(rng.integers(1, 9, 25) / 8)


def _numbers_of_pycocotools(
    truth: Truth, samples, fields: list[str], rows: slice
) -> dict[str, float]:
    """``summarize()`` of a part."""
    truth = copy.deepcopy(truth)
    for person in truth['annotations']:
        points = np.concatenate([person[field] for field in fields])
        person['num_keypoints'] = int((points[2::3] > 0).sum())
        person['keypoints'] = points.tolist()
    entries, parts = [], []
    for sample in samples:
        found = sample.pred_instances
        joints = found.joints2d.double().numpy()
        for points, score in zip(
            to_coco_wholebody(joints), found.scores.tolist(), strict=True
        ):
            labeled = np.concatenate((points, np.ones((133, 1))), axis=1)
            keys = dict(image_id=sample.img_id, category_id=1, score=score)
            body = labeled[:17].ravel().tolist()
            entries.append(dict(keys, keypoints=body))
            parts.append(labeled[rows].ravel().tolist())
    file = COCO()
    file.dataset = truth
    file.createIndex()
    results = file.loadRes(entries)
    for entry, part in zip(results.dataset['annotations'], parts, strict=True):
        entry['keypoints'] = part
    evaluation = COCOeval(file, results, 'keypoints')
    evaluation.params.kpt_oks_sigmas = np.concatenate(
        [KEYPOINT_SIGMAS[field] for field in fields]
    )
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    names = ('AP', 'AP50', 'AP75', 'AP-M', 'AP-L', 'AR')
    return dict(zip(names, evaluation.stats.tolist(), strict=False))


def test_part_of_no_person(evaluate, truth, samples):
    for person in truth['annotations']:
        person['lefthand_kpts'] = [0] * 63
        person['foot_kpts'] = [0] * 18
    metrics = evaluate(truth, samples)
    assert metrics['persons-lhand'] == 0
    for part in ('lhand', 'foot'):
        assert f'AP-{part}' not in metrics
    assert metrics['AP-hand'] == metrics['AP-rhand'] == pytest.approx(1)


def test_no_person_found(evaluate, truth, samples):
    for sample in samples:
        sample.pred_instances = sample.pred_instances[:0]
    metrics = evaluate(truth, samples)
    assert all(metrics[f'AP-{part}'] == 0 for part in PARTS)


def test_images_count_once_and_others_are_not_missed(evaluate, truth, samples):
    whole = evaluate(truth, samples)
    assert evaluate(truth, [*samples, samples[0]]) == whole
    some = evaluate(truth, samples[1:])
    assert some['images'] == 2
    assert some['AP-wholebody'] == pytest.approx(1)


def test_images_of_two_datasets(evaluate, truth, samples):
    samples[1].set_metainfo(dict(img_id=0, img_path='other/000000.png'))
    with pytest.raises(ValueError, match=r'other.000000\.png have the same'):
        evaluate(truth, samples)


def test_broken_predictions_are_left_out(evaluate, truth, samples):
    samples[1].pred_instances.joints2d[0, 55] = np.nan  # nose
    metrics = evaluate(truth, samples)
    assert metrics['predictions'] == 5
    assert metrics['predictions-not-finite'] == 1
    assert metrics['AR-body'] == pytest.approx(5 / 6)


def test_detected_points_of_the_body(evaluate, truth, samples):
    for sample in samples:
        found = sample.pred_instances
        body = to_coco_wholebody(found.joints2d.numpy())[:, :17]
        found.keypoints = torch.from_numpy(body.copy())
        found.joints2d += 60
    metrics = evaluate(truth, samples, body_keypoints='detected')
    assert metrics['AP-body'] == pytest.approx(1)
    assert metrics['AP-foot'] == 0


def test_every_point_is_predicted():
    joints = np.arange(len(SMPLX_144) * 2.0).reshape(1, -1, 2)
    points = to_coco_wholebody(joints)
    assert points.shape == (1, 133, 2)
    for ours, theirs in {
        'nose': 'nose',
        'left_hip': 'left_hip_extra',
        'right_wrist': 'right_hand_root',
        'left_pinky': 'left_pinky',
    }.items():
        np.testing.assert_array_equal(
            points[0, COCO_WHOLEBODY_133.index(theirs)],
            joints[0, SMPLX_144.index(ours)],
        )
    with pytest.raises(ValueError, match="'smplx_55' lacks"):
        to_coco_wholebody(joints[:, :55], 'smplx_55')


def test_wrong_files(evaluate, truth, samples):
    plain = copy.deepcopy(truth)
    del plain['annotations'][2]['face_kpts']
    with pytest.raises(ValueError, match="annotation 3 has no 'face_kpts'"):
        evaluate(plain, samples)
    for field, value, message in (
        ('area', 'large', 'annotation 1 has another area than 1 finite'),
        ('bbox', [1, 2, 3], 'another bbox than 4 finite numbers'),
        ('lefthand_kpts', [float('inf')] * 63, 'another lefthand_kpts than'),
        ('iscrowd', [], r'has iscrowd \[\], must be 0 or 1'),
        ('image_id', [], 'not a COCO file'),
        ('id', None, 'must have an integer id'),
    ):
        odd = copy.deepcopy(truth)
        odd['annotations'][0][field] = value
        with pytest.raises(ValueError, match=message) as error:
            evaluate(odd, samples)
        assert 'truth.json' in str(error.value)
    del truth['images'][1]
    with pytest.raises(ValueError, match='no image with id 1'):
        evaluate(truth, samples)
    with pytest.raises(ValueError, match='body_keypoints must be'):
        CocoWholeBodyMetric('x.json', body_keypoints='head')
