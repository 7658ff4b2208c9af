# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The metric says what was done to perfect predictions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.evaluator import Evaluator
from mmengine.structures import InstanceData
from toy_persons import SCALE, numbers_of

from aios.evaluation import DumpWholeBodyResults, WholeBodyMetric
from aios.utils.safe_io import load_pickle

COUNTS = (3, 1, 2)


@pytest.fixture
def samples(persons) -> list[DetDataSample]:
    return [persons(count, index) for index, count in enumerate(COUNTS)]


@pytest.fixture
def body(free_body_dir) -> dict:
    return dict(type='SMPLXLayer', model_path=str(free_body_dir))


def _evaluate(samples, **arguments) -> dict[str, float]:
    return numbers_of(WholeBodyMetric(**arguments), samples)


def test_perfect(samples, body):
    metrics = _evaluate(samples, body_model=body)
    for name in ('precision', 'recall', 'F1', 'AP'):
        assert metrics[name] == 1
    for name in ('images', 'persons', 'predictions', 'matched'):
        assert metrics[name] == (3 if name == 'images' else 6)
    for part in ('all', 'body', 'lhand', 'rhand', 'face'):
        assert metrics[f'MPJPE-{part}'] < 1e-3
        assert metrics[f'PA-MPJPE-{part}'] < 1e-3
        assert metrics[f'mean-pose-MPJPE-{part}'] > 0.1
        assert metrics[f'gain-{part}'] > 0.99
        assert metrics[f'persons-{part}'] == 6
    assert metrics['MPVPE'] < 1e-3
    assert metrics['PA-MPVPE'] < 1e-3


def test_surface_needs_a_body_model(samples):
    assert 'MPVPE' not in _evaluate(samples)


def test_similarity_is_no_error_after_procrustes(samples, body):
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    for sample in samples:
        for name in ('joints3d', 'vertices'):
            moved = 1.1 * sample.pred_instances[name] @ turn.T + 3
            sample.pred_instances[name] = moved
    metrics = _evaluate(samples, body_model=body)
    assert metrics['MPJPE-all'] > 50
    assert metrics['MPVPE'] > 50
    assert metrics['PA-MPJPE-all'] < 1e-3
    assert metrics['PA-MPVPE'] < 1e-3


def test_known_error(samples):
    """All joints but the roots 10 mm off."""
    for sample in samples:
        joints = sample.pred_instances.joints3d
        joints[..., 2] += 0.01
        joints[:, (0, 12, 20, 21), 2] -= 0.01  # pelvis, neck, wrists
    metrics = _evaluate(samples)
    count = 137
    expected = 10 * (count - 4) / count
    assert metrics['MPJPE-all'] == pytest.approx(expected, abs=1e-3)
    assert metrics['MPJPE-lhand'] == pytest.approx(10, abs=1e-3)
    assert metrics['MPJPE-face'] == pytest.approx(10, abs=1e-3)


def test_few_joints_have_no_error_after_procrustes(samples):
    """A similarity fits up to three joints almost exactly."""
    for sample in samples:
        sample.pred_instances.joints3d += torch.rand(144, 3) * 0.1
    for seen, persons in ((3, 0), (4, 6)):
        for sample in samples:
            visible = sample.gt_instances.keypoints3d_visible
            visible[:] = 0
            visible[:, :seen] = 1
        metrics = _evaluate(samples)
        assert metrics['persons-body'] == 6
        assert metrics['MPJPE-body'] > 1
        assert ('PA-MPJPE-body' in metrics) == bool(persons)


def test_missed_person(samples):
    persons = samples[0].pred_instances
    samples[0].pred_instances = persons[torch.tensor([0, 2])]
    metrics = _evaluate(samples)
    assert metrics['precision'] == 1
    assert metrics['recall'] == pytest.approx(5 / 6)
    assert metrics['matched'] == metrics['persons-all'] == 5
    assert metrics['MPJPE-all'] < 1e-3


def test_duplicate(samples):
    persons = samples[0].pred_instances
    samples[0].pred_instances = persons.cat(
        [persons, persons[torch.tensor([1])]]
    )
    metrics = _evaluate(samples)
    assert metrics['recall'] == 1
    assert metrics['precision'] == pytest.approx(6 / 7)
    assert metrics['persons-all'] == 6


def test_predictions_in_crowds_do_not_count(samples):
    """As COCO has it: half of the box in a crowd, and no person there."""
    found = samples[1].pred_instances
    others = found[torch.tensor([0, 0])]
    others.scores[:] = 0.95
    others.bboxes = torch.tensor([[270.0, 60, 310, 100], [271, 60, 311, 100]])
    samples[1].pred_instances = found.cat([found, others])
    without = _evaluate(samples)
    assert without['predictions'] == 8
    crowd = torch.tensor([[100.0, 30, 290, 150]])  # with the true person
    samples[1].ignored_instances = InstanceData(
        bboxes=crowd * torch.tensor(SCALE * 2)
    )
    metrics = _evaluate(samples)
    assert metrics['predictions-in-crowds'] == 1
    assert metrics['predictions'] == 7
    assert metrics['precision'] == pytest.approx(6 / 7)
    assert metrics['recall'] == metrics['matched'] / 6 == 1
    assert metrics['AP'] > without['AP']
    assert _evaluate(samples, score_thr=0.96)['predictions-in-crowds'] == 0


def test_low_scores_and_the_other_class_do_not_count(samples):
    samples[0].pred_instances.scores[1] = 0.2
    samples[2].pred_instances.labels[0] = 0
    metrics = _evaluate(samples)
    assert metrics['predictions'] == metrics['matched'] == 4
    # AP does not know the threshold, but it knows the class.
    assert metrics['AP'] == pytest.approx(5 / 6)


def test_box_elsewhere(samples):
    samples[1].pred_instances.bboxes += 20
    metrics = _evaluate(samples)
    assert metrics['matched'] == 5
    assert metrics['precision'] == pytest.approx(5 / 6)


def test_persons_without_labels_do_not_count(samples, body):
    truth = samples[0].gt_instances
    truth.has_3d[0] = 0
    truth.keypoints3d_visible[1, 25:45] = 0
    truth.smplx_pose_valid[2] = 0
    samples[0].pred_instances.joints3d[0, 1:] += 0.5
    samples[0].pred_instances.vertices[2] *= 2
    metrics = _evaluate(samples, body_model=body)
    assert metrics['persons-all'] == 5
    assert metrics['persons-lhand'] == 4
    assert metrics['MPJPE-all'] < 1e-3
    assert metrics['MPVPE'] < 1e-3


def test_mean_pose_of_two_by_hand(samples):
    """Two persons: the mean is in the middle between them."""
    sample = samples[2]
    truth = sample.gt_instances.keypoints3d
    body = truth[:, :25] - truth[:, :1]
    half = (body[0] - body[1]).norm(dim=-1).mean() / 2 * 1000
    metrics = _evaluate([sample])
    assert metrics['mean-pose-MPJPE-body'] == pytest.approx(float(half))


def test_no_person_found(samples):
    for sample in samples:
        sample.pred_instances = sample.pred_instances[:0]
    metrics = _evaluate(samples)
    assert metrics['recall'] == metrics['precision'] == metrics['AP'] == 0
    assert not [name for name in metrics if 'MPJPE' in name]


def test_no_person_there(persons):
    metrics = _evaluate([persons(0, 0)])
    assert metrics['persons'] == 0


def test_repeated_images_count_once(samples):
    assert _evaluate([*samples, samples[0]]) == _evaluate(samples)


def test_concatenated_datasets_of_one_name(samples, persons):
    """Both number their images from 0; none is a repetition."""
    others = [persons(count, i) for i, count in enumerate(COUNTS)]
    for sample in others:
        sample.set_metainfo(dict(img_path=f'other/{sample.img_path}'))
    assert _evaluate([*samples, *others])['images'] == 6


def test_bodies_of_the_own_gender(samples, body):
    samples[1].gt_instances.gender[:] = 1
    gendered = _evaluate(samples, body_model=body)['MPVPE']
    neutral = _evaluate(samples, body_model=dict(body, gender='neutral'))
    assert gendered > 1 > neutral['MPVPE']


def test_mirrored_images_are_refused(samples):
    samples[0].set_metainfo(dict(flip=True))
    with pytest.raises(ValueError, match='0.jpg: is flipped'):
        _evaluate(samples)


def test_detectors_without_bodies_are_refused(samples):
    del samples[0].pred_instances.joints3d
    with pytest.raises(ValueError, match=r"0\.jpg: .* no joints3d.*'bboxes'"):
        _evaluate(samples)


def test_images_without_labels_are_refused(samples):
    del samples[0].gt_instances
    with pytest.raises(ValueError, match=r'0\.jpg.*LoadHumanAnnotations'):
        _evaluate(samples)


@pytest.mark.parametrize('field', ['scores', 'bboxes', 'joints3d', 'vertices'])
@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_broken_predictions_are_left_out_and_counted(
    samples, body, field, value
):
    """A network that diverges is evaluated, too."""
    samples[0].pred_instances[field][1] = value
    metrics = _evaluate(samples, body_model=body)
    assert metrics['predictions-not-finite'] == 1
    assert metrics['predictions'] == metrics['matched'] == 5
    assert metrics['precision'] == 1
    assert metrics['recall'] == pytest.approx(5 / 6)
    assert metrics['MPJPE-all'] < 1e-3


def test_labels_that_are_not_finite_are_named(samples):
    samples[0].gt_instances.smplx_pose[2, 5, 1] = math.nan
    with pytest.raises(ValueError, match='0.jpg: smplx_pose of person 2 is'):
        _evaluate(samples)


def test_dump(samples, tmp_path):
    path = str(tmp_path / 'out.pkl')
    evaluator = Evaluator(DumpWholeBodyResults(path, score_thr=0.85))
    evaluator.process(samples)
    evaluator.evaluate(len(samples))
    records = load_pickle(path)
    assert [r['img_path'] for r in records] == ['0.jpg', '1.jpg', '2.jpg']
    persons = records[0]['pred_instances']
    assert 'vertices' not in persons
    assert persons['cam_K'].shape == (3, 3)
    np.testing.assert_array_equal(
        persons['joints3d'], samples[0].pred_instances.joints3d[:1].numpy()
    )
    with pytest.raises(ValueError, match='.pkl'):
        DumpWholeBodyResults('out.txt')
