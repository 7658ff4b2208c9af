# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Every benchmark says exactly what was done to perfect predictions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mesh_scenes import (
    AGORA,
    ARCTIC,
    EGOBODY,
    EHF,
    UBODY,
    Judge,
)
from mmdet.structures import DetDataSample

from aios.evaluation.functional import mesh_errors
from aios.evaluation.metrics import SMPLXMeshMetric

COUNTS = (3, 1, 2)
TOP_ONE = (EHF, UBODY, EGOBODY, ARCTIC)
BENCHMARKS = (*TOP_ONE, AGORA)
ERRORS = [
    f'{kind}-{part}'
    for kind, parts in {
        'MPVPE': ('all', 'hand', 'lhand', 'rhand', 'face'),
        'MPJPE': ('body', 'hand', 'lhand', 'rhand'),
    }.items()
    for part in parts
]
ERRORS += [f'PA-{name}' for name in ERRORS]
every_benchmark = pytest.mark.parametrize(
    'kind', BENCHMARKS, ids=lambda kind: kind.keywords['prefix']
)
top_one = pytest.mark.parametrize(
    'kind', TOP_ONE, ids=lambda kind: kind.keywords['prefix']
)


@pytest.fixture
def samples(persons) -> list[DetDataSample]:
    return [persons(n, index) for index, n in enumerate(COUNTS)]


@pytest.fixture(scope='module')
def judge(free_body_dir) -> Judge:
    return Judge(free_body_dir)


def _shake(samples: list[DetDataSample]) -> None:
    """Every mesh wrong in its own way, joints in the image right."""
    for sample in samples:
        meshes = sample.pred_instances.vertices
        generator = torch.Generator().manual_seed(7 + sample.img_id)
        size = torch.arange(1, len(meshes) + 1)[:, None, None] * 0.01
        noise = torch.rand(meshes.shape, generator=generator)
        sample.pred_instances.vertices = meshes + size * noise


def _changes(before: dict, after: dict) -> set[str]:
    assert set(before) == set(after)
    return {name for name in before if before[name] != after[name]}


def _own_errors(sample: DetDataSample, persons, parts) -> dict:
    """Errors of the persons of a sample, without the metric."""
    names = ('smplx_pose', 'smplx_betas', 'smplx_expression')
    body = persons.body(**{n: sample.gt_instances[n] for n in names})
    ours = sample.pred_instances.vertices.numpy()
    errors = mesh_errors(ours, body.vertices.numpy(), parts)
    return {name: error * 1000 for name, (error, _) in errors.items()}


@every_benchmark
def test_perfect(judge, samples, kind):
    metrics = judge(kind, samples)
    for name in ERRORS:
        assert metrics[name] < 1e-3
    wanted = 6 if kind is AGORA else 3
    assert metrics['images'] == 3
    assert metrics['persons'] == metrics['predictions'] == 6
    for name in ('persons-wanted', 'matched', 'measured'):
        assert metrics[name] == wanted
    for name in ERRORS[:9]:
        assert metrics[f'persons-{name}'] == wanted
    for name in ('missed', 'persons-without-body', 'registered-meshes'):
        assert metrics[name] == 0
    detects = ('precision', 'recall', 'F1')
    if kind is AGORA:
        assert [metrics[name] for name in detects] == [1, 1, 1]
        assert metrics['NMVE'] == metrics['MPVPE-all']
    else:
        assert not set(detects) & set(metrics)


@every_benchmark
def test_joints_without_labels_do_not_count_in_the_match(judge, samples, kind):
    """Pelvis and neck, which COCO lacks, are zeros, not at the corner."""
    for sample in samples:
        truth = sample.gt_instances
        for name in ('keypoints', 'keypoints_visible'):
            truth[name][:, [0, 7]] = 0
    metrics = judge(kind, samples)
    assert metrics['matched'] == metrics['persons-wanted']
    for name in ERRORS:
        assert metrics[name] < 1e-3


@every_benchmark
def test_rigidly_moved(judge, samples, kind):
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    for sample in samples:
        meshes = sample.pred_instances.vertices
        sample.pred_instances.vertices = meshes @ turn.T + 3
    metrics = judge(kind, samples)
    for name in ERRORS:
        if name.startswith('PA-'):
            assert metrics[name] < 1e-3
        else:
            assert metrics[name] > 5


@pytest.mark.parametrize('kind', (EGOBODY, AGORA))
def test_means_are_over_persons(judge, samples, kind, persons):
    """Not over batches, and equal to the functions' errors."""
    _shake(samples)
    errors = [_own_errors(sample, persons, judge.parts) for sample in samples]
    rows = slice(None) if kind is AGORA else slice(1)
    metrics = judge(kind, samples)
    for name in ERRORS:
        mean = np.concatenate([e[name][rows] for e in errors]).mean()
        assert metrics[name] == pytest.approx(mean, rel=1e-5)
    assert judge(kind, samples, batch_sizes=(1, 2)) == metrics
    assert judge(kind, samples[::-1]) == metrics
    assert judge(kind, [*samples, samples[0]]) == metrics


def test_missed_person(judge, samples, persons):
    _shake(samples)
    before = judge(AGORA, samples)
    errors = [_own_errors(sample, persons, judge.parts) for sample in samples]
    found = samples[0].pred_instances
    samples[0].pred_instances = found[torch.tensor([0, 2])]
    after = judge(AGORA, samples)
    assert _changes(before, after) == {
        *('predictions', 'matched', 'measured', 'missed'),
        *('recall', 'F1', 'NMVE', *ERRORS),
        *(f'persons-{name}' for name in ERRORS[:9]),
    }
    assert after['matched'] == after['persons-MPVPE-all'] == 5
    assert after['missed'] == 1
    assert after['precision'] == 1
    assert after['recall'] == 5 / 6
    assert after['F1'] == 10 / 11
    assert after['NMVE'] == pytest.approx(after['MPVPE-all'] * 1.1)
    for name in ERRORS:
        rest = np.delete(np.concatenate([e[name] for e in errors]), 1)
        assert after[name] == pytest.approx(rest.mean(), rel=1e-5)


def test_duplicate(judge, samples):
    _shake(samples)
    before = judge(AGORA, samples)
    found = samples[0].pred_instances
    again = found[torch.tensor([1])]
    again.joints2d = again.joints2d + 1
    samples[0].pred_instances = found.cat([found, again])
    after = judge(AGORA, samples)
    assert _changes(before, after) == {
        'predictions',
        'precision',
        'F1',
        'NMVE',
    }
    assert after['precision'] == 6 / 7
    assert after['F1'] == 12 / 13
    samples[0].ignored_instances = samples[0].gt_instances[1:2]  # a crowd
    crowded = judge(AGORA, samples)
    assert _changes(before, crowded) == {'predictions-in-crowds'}


@top_one
def test_top_one_ignores_the_others(judge, samples, kind):
    _shake(samples)
    before = judge(kind, samples)
    found = samples[0].pred_instances
    samples[0].pred_instances = found.cat([found, found])
    after = judge(kind, samples)
    assert _changes(before, after) == {'predictions'}
    samples[0].pred_instances = found[:1]
    after = judge(kind, samples)
    assert _changes(before, after) == {'predictions'}


@top_one
def test_top_one_without_a_prediction(judge, samples, kind):
    before = judge(kind, samples)
    samples[1].pred_instances = samples[1].pred_instances[:0]
    after = judge(kind, samples)
    changed = {*('predictions', 'matched', 'measured', 'missed')}
    changed |= {f'persons-{name}' for name in ERRORS[:9]}
    # Means of nothing but zeros change in the last digits, if at all.
    assert _changes(before, after) - set(ERRORS) == changed
    assert after['missed'] == 1


@top_one
def test_top_one_takes_the_nearest_person(judge, samples, kind):
    """The best prediction is that of another person than the first."""
    samples[0].pred_instances.scores[2] = 0.99
    metrics = judge(kind, samples)
    assert metrics['MPVPE-all'] < 1e-3


def test_low_scores_are_left_out(judge, samples):
    samples[0].pred_instances.scores[1] = 0.29
    metrics = judge(AGORA, samples)
    assert metrics['predictions'] == metrics['matched'] == 5
    metrics = judge(AGORA, samples, score_thr=0.2)
    assert metrics['matched'] == 6


def test_predictions_elsewhere_are_of_no_person(judge, samples):
    samples[1].pred_instances.joints2d += 400
    metrics = judge(AGORA, samples)
    assert metrics['matched'] == 5
    assert metrics['precision'] == metrics['recall'] == 5 / 6
    # The published protocol knows no such gate.
    assert judge(EHF, samples)['matched'] == 3


def test_given_boxes(judge, samples):
    """One prediction may stand for several; scores do not count."""
    found = samples[2].pred_instances
    found.bboxes[0] = torch.tensor((0.0, 0, 320, 240))
    samples[2].pred_instances = found[:1]
    samples[0].pred_instances.scores[:] = 0.01
    metrics = judge(SMPLXMeshMetric, samples, match='gt_box')
    assert metrics['matched'] == 6
    assert metrics['missed'] == 0
    assert 'precision' not in metrics
    found.bboxes[0] = torch.tensor((300.0, 0, 301, 1))
    metrics = judge(SMPLXMeshMetric, samples, match='gt_box')
    assert metrics['missed'] == 2


def test_what_is_not_annotated_is_not_measured(judge, samples):
    truth = samples[0].gt_instances
    truth.smplx_pose_valid[0] = 0  # no fit at all
    truth.smplx_pose_valid[1, 22:37] = 0  # no left hand
    truth.smplx_pose_valid[2, 52] = 0  # no face
    truth.smplx_betas_valid[2] = 0  # a child, say
    _shake(samples[:1])
    metrics = judge(AGORA, samples)
    assert metrics['persons-without-body'] == 2
    assert metrics['matched'] == 6
    assert metrics['measured'] == metrics['persons-MPVPE-all'] == 4
    assert metrics['persons-MPVPE-lhand'] == 3
    assert metrics['persons-MPVPE-hand'] == 4
    assert metrics['MPVPE-lhand'] < 1e-3 < metrics['MPVPE-rhand']
    assert metrics['F1'] == 1


def test_part_of_no_person_is_not_reported(judge, samples):
    for sample in samples:
        sample.gt_instances.smplx_pose_valid[:, 52] = 0
    metrics = judge(EHF, samples)
    assert 'MPVPE-face' not in metrics
    assert metrics['persons-MPVPE-face'] == 0


def test_broken_predictions_are_left_out_and_counted(judge, samples):
    samples[0].pred_instances.vertices[0, 5] = np.nan
    samples[1].pred_instances.joints2d[0, 5] = np.inf
    samples[2].pred_instances.scores[1] = np.nan
    metrics = judge(AGORA, samples)
    assert metrics['predictions-not-finite'] == 3
    assert metrics['predictions'] == metrics['matched'] == 3


def test_no_person_found_no_person_there(judge, persons, samples):
    for sample in samples:
        sample.pred_instances = sample.pred_instances[:0]
    metrics = judge(AGORA, samples)
    assert metrics['F1'] == 0
    assert 'NMVE' not in metrics
    assert not set(ERRORS) & set(metrics)
    metrics = judge(UBODY, [persons(0)])
    assert metrics['persons'] == metrics['missed'] == 0


def test_bodies_have_the_own_gender(judge, samples):
    samples[1].gt_instances.gender[:] = 0
    metrics = judge(EGOBODY, samples)
    assert metrics['MPVPE-all'] > 1


class TestEHF:
    def test_registered_meshes_are_the_truth(self, judge, samples):
        for sample in samples:
            meshes = sample.pred_instances.vertices.clone()
            # Parameters now say something else, and parts are not asked.
            sample.gt_instances.vertices = meshes + 2
            sample.gt_instances.smplx_pose[:] = 0
            sample.gt_instances.smplx_pose_valid[:] = 0
        metrics = judge(EHF, samples)
        assert all(metrics[name] < 1e-3 for name in ERRORS)
        assert metrics['registered-meshes'] == 3
        assert metrics['persons-without-body'] == 0


class TestUBody:
    """Only what the camera sees in the image counts."""

    @pytest.fixture
    def close(self, persons) -> DetDataSample:
        """Somebody whose legs are below the image."""
        sample = persons(1)
        move = torch.tensor([[0.0, 1.4, 3]])
        sample.gt_instances.smplx_transl = move
        return sample

    def _seen(self, sample: DetDataSample) -> np.ndarray:
        """``(V,)`` whether vertices are in the image, by hand."""
        vertices = sample.pred_instances.vertices[0].numpy()
        x, y, z = (vertices + sample.gt_instances.smplx_transl[0].numpy()).T
        u, v = 300 * x / z + 160, 300 * y / z + 120
        return (u > 0) & (u < 320) & (v > 0) & (v < 240)

    def test_errors_outside_do_not_count(self, judge, close):
        seen = self._seen(close)
        assert 0.1 < seen.mean() < 0.9
        root = judge.parts['all'].root
        wrong = torch.from_numpy(~seen & (root == 0))
        close.pred_instances.vertices[0, wrong] += 0.1
        metrics = judge(UBODY, [close])
        assert metrics['MPVPE-all'] < 1e-3
        # All points align, so errors outside pull those inside away.
        assert metrics['PA-MPVPE-all'] > 1
        everything = judge(UBODY, [close], in_image=False)
        share = float(wrong.float().mean())
        expected = np.sqrt(3) * 100 * share
        assert everything['MPVPE-all'] == pytest.approx(expected, rel=1e-3)

    def test_errors_inside_are_means_over_the_inside(self, judge, close):
        seen = self._seen(close)
        root = judge.parts['all'].root
        wrong = torch.from_numpy(seen & (root == 0))
        close.pred_instances.vertices[0, wrong, 0] += 0.1
        metrics = judge(UBODY, [close])
        expected = 100 * float(wrong.sum()) / seen.sum()
        assert metrics['MPVPE-all'] == pytest.approx(expected, rel=1e-3)

    def test_hands_no_person_sees(self, judge, samples):
        """One image shows nobody's hands, and counts for none."""
        truth = samples[1].gt_instances
        truth.smplx_transl[0] += torch.tensor((50.0, 0, 0))
        _shake(samples[1:2])
        metrics = judge(UBODY, samples)
        assert metrics['matched'] == metrics['measured'] == 3
        for name in ERRORS[:9]:
            assert metrics[f'persons-{name}'] == 2
            assert metrics[name] < 1e-3

    def test_behind_the_camera_is_outside(self, judge, samples):
        samples[1].gt_instances.smplx_transl[0, 2] = -5
        metrics = judge(UBODY, samples)
        assert metrics['persons-MPVPE-all'] == 2

    def test_cameras_of_persons_come_first(self, judge, persons):
        sample = persons(2)
        # Pixels of the image the network saw, as all labels; of the
        # second person, the camera looks elsewhere.
        sample.gt_instances.cameras = torch.tensor(
            [[600.0, 450, 320, 180], [600, 450, 32000, 180]]
        )
        metrics = judge(UBODY, [sample], match='hungarian')
        assert metrics['matched'] == 2
        assert metrics['persons-MPVPE-all'] == 1

    def test_a_camera_is_needed(self, judge, samples):
        samples[0].set_metainfo(dict(cam_K=None))
        with pytest.raises(ValueError, match=r'0\.jpg: has no camera'):
            judge(UBODY, samples)
        # Nor may that of a person be unknown.
        samples[0].gt_instances.cameras = torch.full((3, 4), np.nan)
        with pytest.raises(ValueError, match=r'0\.jpg: has no camera'):
            judge(UBODY, samples)

    def test_unsure_joints_do_not_match(self, judge, samples):
        """Joints without confidence may be annotated anywhere."""
        truth = samples[0].gt_instances
        truth.keypoints[0, 1:25] = 9999
        truth.keypoints_visible[0, 1:25] = 0
        assert judge(UBODY, samples)['MPVPE-all'] < 1e-3
        unweighted = judge(UBODY, samples, weighted_match=False)
        assert unweighted['MPVPE-all'] > 1


def test_arctic_by_camera(judge, samples):
    for sample, camera in zip(samples, (3, 1, 3), strict=True):
        path = f's05/box_use_01/{camera}/00100.jpg'
        sample.set_metainfo(dict(img_path=path))
    _shake(samples)
    metrics = judge(ARCTIC, samples, per_camera=True)
    assert metrics['camera-3/persons-MPVPE-all'] == 2
    for name in ERRORS:
        one, three = (metrics[f'camera-{c}/{name}'] for c in (1, 3))
        assert metrics[name] == pytest.approx((one + 2 * three) / 3)
    plain = judge(ARCTIC, samples)
    assert not [name for name in plain if name.startswith('camera')]


def test_wrong_arguments(judge, samples):
    with pytest.raises(ValueError, match='match must be one of'):
        SMPLXMeshMetric(match='nearest')
    del samples[0].pred_instances.vertices
    with pytest.raises(ValueError, match='with_vertices=True'):
        judge(EHF, samples)
