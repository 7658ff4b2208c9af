# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""3DPW and EMDB say what was done to perfect predictions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mesh_scenes import benchmark
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from toy_persons import make_sample, numbers_of

from aios.body_models import MissingBodyModelError, SMPLXLayer
from aios.evaluation.functional import MeshPart, part_errors
from aios.evaluation.metrics import EMDBWorldMetric

PW3D, EMDB = benchmark('pw3d', '3dpw'), benchmark('emdb1', 'emdb')
EVERY = (PW3D, EMDB)
MESH_ERRORS = ('MPJPE-body', 'PA-MPJPE-body', 'MPVPE-all', 'PA-MPVPE-all')
SKELETON_ERRORS = ('MPJPE-skeleton', 'PA-MPJPE-skeleton')
every_benchmark = pytest.mark.parametrize('kind', EVERY)


@pytest.fixture(scope='module')
def layer(smpl_models) -> SMPLXLayer:
    return SMPLXLayer(smpl_models, flat_hand_mean=True)


def smpl_sample(
    layer: SMPLXLayer, count: int, img_id: int = 0, path: str = ''
):
    """A sample with labels of SMPL, which has some of the joints."""
    generator = torch.Generator().manual_seed(img_id)
    pose = torch.rand(count, 72, generator=generator) * 0.6 - 0.3
    pose[:, 66:] = 0
    betas = torch.randn(count, 10, generator=generator)
    body = layer(betas, None, pose[:, :3], pose[:, 3:66])
    unknown = dict(smplx_betas_valid=torch.zeros(count))
    shared = [*range(14), 66]
    sample = make_sample(body, img_id, path, shared, **unknown)
    sample.gt_instances.smpl_pose = pose
    sample.gt_instances.smpl_betas = betas
    return sample


@pytest.fixture
def samples(layer) -> list[DetDataSample]:
    return [smpl_sample(layer, n, i) for i, n in enumerate((2, 1))]


@pytest.fixture(scope='module')
def body_model(smpl_models) -> dict:
    return dict(type='SMPLLayer', model_path=str(smpl_models))


@every_benchmark
def test_perfect(kind, samples, body_model):
    metrics = numbers_of(kind(body_model), samples)
    for name in (*MESH_ERRORS, *SKELETON_ERRORS):
        assert metrics[name] < 0.05  # mm; the bodies are float32
    assert metrics['persons'] == metrics['matched'] == 3
    assert metrics['measured'] == metrics['persons-MPVPE-all'] == 3
    assert metrics['missed'] == 0
    assert metrics['recall'] == 1
    # Others in the image are not annotated: they are not wrong.
    assert not {'precision', 'F1', 'NMVE'} & set(metrics)


@every_benchmark
def test_rigidly_moved(kind, samples, body_model):
    """Moved along: no error.  Turned: only what is aligned has none."""
    for sample in samples:
        sample.pred_instances.vertices += torch.tensor((1.0, 2, 3))
        sample.pred_instances.joints3d += torch.tensor((1.0, 2, 3))
    metrics = numbers_of(kind(body_model), samples)
    assert all(metrics[n] < 0.05 for n in (*MESH_ERRORS, *SKELETON_ERRORS))
    turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    for sample in samples:
        found = sample.pred_instances
        found.vertices = 1.5 * found.vertices @ turn
        found.joints3d = 1.5 * found.joints3d @ turn
    metrics = numbers_of(kind(body_model), samples)
    for name in (*MESH_ERRORS, *SKELETON_ERRORS):
        assert (metrics[name] < 0.05) == name.startswith('PA-')


def test_missed_persons_and_bystanders(samples, body_model):
    """Person 1 of image 0 is not found; image 1 has one too many.

    Two of three persons are found (recall 2/3), the third prediction is of
    nobody and changes nothing.
    """
    first, second = samples
    first.pred_instances = first.pred_instances[:1]
    other = second.pred_instances.clone()
    other.bboxes, other.joints2d = other.bboxes + 900, other.joints2d + 900
    second.pred_instances = InstanceData.cat([second.pred_instances, other])
    metrics = numbers_of(PW3D(body_model), samples)
    assert metrics['missed'] == 1
    assert metrics['recall'] == pytest.approx(2 / 3)
    assert metrics['predictions'] == 3
    assert metrics['measured'] == 2
    assert metrics['MPVPE-all'] < 0.05


def test_skeleton_needs_no_files(samples, tmp_path):
    """The left wrist is 30 cm too far: 30 cm / 15 joints are 20 mm.

    A similarity leaves at most the sum of squares, 300² mm², hence a mean
    of at most 300 / √15 = 77.5 mm.
    """
    nowhere = dict(type='SMPLLayer', model_path=str(tmp_path))
    for sample in samples:
        sample.pred_instances.joints3d[:, 20] += torch.tensor((0.3, 0, 0))
        del sample.pred_instances.vertices
    metrics = numbers_of(PW3D(nowhere, surfaces=False), samples)
    assert metrics['MPJPE-skeleton'] == pytest.approx(20, abs=1e-3)
    assert 0 < metrics['PA-MPJPE-skeleton'] <= 300 / 15**0.5
    assert not set(MESH_ERRORS) & set(metrics)
    with pytest.raises(ValueError, match='predictions have no meshes'):
        numbers_of(PW3D(nowhere), samples)


def test_root(samples, body_model):
    """Predicted pelvis 4 cm off, everything else right: only 'pelvis' is."""
    metrics = {}
    for root in ('pelvis', 'hips'):
        metric = EMDB(body_model, root=root)
        pelvis, hips = metric.part.joints[0], metric.part.joints[1:3].mean(0)
        chosen = pelvis if root == 'pelvis' else hips
        np.testing.assert_array_equal(metric.part.root, chosen)
        metrics[root] = numbers_of(metric, samples)
    assert set(metrics['pelvis']) == set(metrics['hips'])
    with pytest.raises(ValueError, match="root must be one of.*'knee'"):
        PW3D(root='knee')
    with pytest.raises(ValueError, match='joints must be one of'):
        PW3D(joints='coco')


def test_surfaces_after_the_similarity_of_the_joints():
    """Joints agree, one vertex of three is 0.9 off: mean 0.3.

    The joints need no motion, so PA-MPVPE equals MPVPE; the similarity of
    the vertices themselves would leave less.
    """
    true = np.array([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]])
    ours = true.copy()
    ours[0, 3] += (0, 0, 0.9)
    pick = np.eye(4)
    for by_joints in (True, False):
        part = MeshPart(
            root=pick[0],
            vertices=np.array([1, 2, 3]),
            joints=pick[:3],
            surface_by_joints=by_joints,
        )
        errors = part_errors(ours, true, part)
        assert errors['MPVPE'][0] == pytest.approx([0.3])
        if by_joints:
            assert errors['PA-MPVPE'][0] == pytest.approx([0.3])
        else:
            assert errors['PA-MPVPE'][0] < 0.3


def test_what_is_missing_is_said(samples, layer, body_model, free_body_dir):
    without = dict(type='SMPLLayer', model_path=str(free_body_dir))
    with pytest.raises(MissingBodyModelError, match='smpl.is.tue.mpg.de'):
        numbers_of(EMDB(without), samples)
    with pytest.raises(ValueError, match=r'no camera poses.*meta\.RT'):
        numbers_of(EMDBWorldMetric(body_model), samples)
    walk = make_walk(layer, 1, 'P1/a')
    walk[0].set_metainfo(dict(img_path='P1/a/images/left.jpg'))
    with pytest.raises(ValueError, match=r'images/left\.jpg: must be named'):
        numbers_of(EMDBWorldMetric(body_model), walk)
    del samples[0].gt_instances.smpl_pose
    with pytest.raises(ValueError, match='read_smpl=True'):
        numbers_of(PW3D(body_model), samples)


def make_walk(layer, count: int, name: str) -> list[DetDataSample]:
    """Frames of somebody who stands 3 m beside a camera that walks.

    The camera turns and moves; in the world the person keeps the pose and
    goes 2 cm a frame along x.
    """
    samples = []
    for frame in range(count):
        sample = smpl_sample(layer, 1, 0, f'{name}/images/{frame:05d}.jpg')
        sample.set_metainfo(dict(img_id=frame, dataset_name=name))
        truth, found = sample.gt_instances, sample.pred_instances
        move = torch.tensor([[0.02 * frame, 0, 0]])
        matrix = torch.eye(4)
        matrix[:3, 3] = torch.tensor([0.5, 0, 0.01 * frame])
        truth.smplx_transl = truth.smplx_transl + move + matrix[:3, 3]
        found.smplx_transl = truth.smplx_transl.clone()
        truth.extrinsics = matrix[None]
        samples.append(sample)
    return samples


def test_world(layer, body_model):
    """Two sequences, one with a frame where nobody was found."""
    walks = [make_walk(layer, 6, 'P1/a'), make_walk(layer, 5, 'P2/b')]
    nobody = walks[0][2]
    nobody.pred_instances = nobody.pred_instances[:0]
    samples = [*walks[0], *walks[1]][::-1]
    metrics = numbers_of(EMDBWorldMetric(body_model), samples)
    assert metrics['sequences'] == 2
    assert metrics['missed'] == 1
    assert metrics['matched'] == 10
    for name in ('W-MPJPE', 'WA-MPJPE', 'RTE', 'MPJPE-skeleton'):
        assert metrics[name] < 0.05
    # 30 frames per second blow rounding up by 27,000
    assert metrics['jitter'] < 5
    # The feet move 2 cm a frame: never in contact.
    assert 'foot-sliding' not in metrics


def test_world_drift(layer, body_model):
    """The prediction goes 3 cm a frame instead of 2, and 4 frames long.

    The way is 6 cm; roots at 0, 3, 6, 9 cm against 0, 2, 4, 6 cm: after
    centering -4.5, -1.5, 1.5, 4.5 against -3, -1, 1, 3, so errors are 1.5,
    0.5, 0.5, 1.5 cm, mean 1 cm, a sixth of the way.  W meets the truth half
    way between frames 0 and 1 (bodies are as large as before, up to the
    little that a similarity can do), and is 1.5 and 2.5 cm off then: a mean
    of (0.5 + 0.5 + 1.5 + 2.5) / 4 = 1.25 cm.
    """
    samples = make_walk(layer, 4, 'P1/a')
    for frame, sample in enumerate(samples):
        found = sample.pred_instances
        found.smplx_transl = found.smplx_transl + torch.tensor(
            [[0.01 * frame, 0, 0]]
        )
    metrics = numbers_of(EMDBWorldMetric(body_model), samples)
    assert metrics['RTE'] == pytest.approx(100 / 6, abs=0.01)
    assert metrics['MPJPE-skeleton'] < 0.05
    assert metrics['W-MPJPE'] == pytest.approx(12.5, abs=0.5)
    assert 0 < metrics['WA-MPJPE'] < metrics['W-MPJPE']


def test_feet_that_slide(layer, body_model):
    """The person stands; the prediction drifts 5 mm a frame."""
    samples = make_walk(layer, 4, 'P1/a')
    for frame, sample in enumerate(samples):
        truth, found = sample.gt_instances, sample.pred_instances
        truth.smplx_transl -= torch.tensor([[0.02 * frame, 0, 0]])
        found.smplx_transl = truth.smplx_transl + torch.tensor(
            [[0.0, 0, 0.005 * frame]]
        )
    metrics = numbers_of(EMDBWorldMetric(body_model), samples)
    assert metrics['foot-sliding'] == pytest.approx(5, abs=0.01)
    assert 'RTE' not in metrics  # there is no way
