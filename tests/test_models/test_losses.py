# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Each loss alone, against the original and at its edges."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from criterion_oracle import (
    official_name,
    oracle_layer,
    oracle_sample,
    published_criterion,
)
from network_oracle import Oracle
from torch import Tensor

from aios.models.heads import EncoderOutputs, NetworkOutputs, SMPLXParams
from aios.models.layers import DenoisingQueries
from aios.models.losses import (
    DenoisingLoss,
    PartBoxLoss,
    PartKeypointLoss,
    PersonPredictions,
    SigmoidFocalLoss,
    SMPLXCoefficientLoss,
    SMPLXJoint2DLoss,
    SMPLXJoint3DLoss,
    SMPLXPoseLoss,
    project_to_image,
)
from aios.models.task_modules import (
    PARTS,
    Matches,
    PersonTargets,
)
from aios.structures import (
    Camera,
    project_points,
    weak_perspective_to_translation,
)

SIZES = [(256, 320), (224, 288)]


def tensors(oracle: Oracle, prefix: str) -> dict[str, Tensor]:
    """Predictions of the oracle that require gradients."""
    found = {}
    for name in oracle:
        if name.startswith(prefix) and name.count('/') == 1:
            value = torch.from_numpy(oracle[name])
            found[name.split('/')[1]] = value.requires_grad_('pred' in name)
    return found


class FixedAssigner:
    """Gives the matches of the oracle."""

    def __init__(self, arrays: dict[str, Tensor]) -> None:
        self.arrays = arrays

    def assign(self, outputs, targets) -> list[Matches]:
        num_candidates = outputs[0][1].logits.shape[1]
        starts = np.cumsum((0, *targets.counts))
        rows, persons = [], []
        for image in range(len(targets.counts)):
            rows.append(self.arrays[f'src{image}'] + image * num_candidates)
            persons.append(self.arrays[f'tgt{image}'] + int(starts[image]))
        rows, persons = torch.cat(rows), torch.cat(persons)
        return [Matches(rows, persons, False) for _ in outputs]


def component_losses(
    oracle: Oracle, batch: Oracle, case: str, layout: str
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Unweighted losses of the last layer by official names; inputs."""
    arrays = tensors(oracle, f'{case}/')
    prefix = 'T3/' if case == 'T3' else ''
    samples = [
        oracle_sample(batch, i, SIZES[i], prefix=prefix) for i in (0, 1)
    ]
    criterion = published_criterion()
    criterion.assigner = FixedAssigner(arrays)
    weights = criterion.loss_weights['whole_body']
    criterion.loss_weights = {
        layout: dict.fromkeys(
            weights
            if layout == 'whole_body'
            else criterion.loss_weights[layout],
            1.0,
        )
    }
    layer = oracle_layer(arrays, layout)
    proposals = arrays['pred_logits'], arrays['pred_boxes']
    queries = DenoisingQueries(
        content=torch.zeros(2, 5, 1),
        boxes=arrays['dn_bbox_input'],
        groups=torch.zeros(2, 5),
        target_labels=arrays['dn_class_input'],
        target_boxes=arrays['dn_bbox_input'],
    )
    outputs = NetworkOutputs((layer,), EncoderOutputs(*proposals), queries)

    matches = criterion.match(outputs, samples)
    joints = [
        matches.matches[-1].take(arrays['pred_smpl_kp3d'])
        for _ in matches.persons_to_pose()
    ]
    losses = criterion(outputs, matches, joints)
    return {official_name(k): v for k, v in losses.items()}, arrays


@pytest.fixture(scope='module')
def oracle(data_dir) -> Oracle:
    return Oracle(data_dir / 'oracle/comp_losses.npz')


@pytest.mark.parametrize('case', ['T1', 'T2', 'T3'])
@pytest.mark.parametrize('flag', ['full', 'body'])
def test_each_loss_is_the_original(case, flag, oracle, data_dir) -> None:
    """Values, and norms of the gradient of each loss by each input."""
    run = {'T1': 'T1_dn', 'T2': 'T2_nodn'}.get(case)
    batch = oracle
    if run:
        batch = Oracle(data_dir / f'oracle/train_S_{run}_f64.npz')
    layout = {'full': 'whole_body', 'body': 'body_refinement'}[flag]
    losses, arrays = component_losses(oracle, batch, case, layout)
    expected = json.loads((data_dir / 'oracle/comp_losses.json').read_text())
    prefix = f'{case}/{flag}/'
    wanted = {
        key.removeprefix(prefix): value
        for key, value in expected.items()
        if key.startswith(prefix)
    }
    values = {k: v for k, v in wanted.items() if '/' not in k}
    values.pop('class_error', None)
    if flag == 'full':
        assert set(values) == set(losses)
    for name, value in values.items():
        if name not in losses:
            assert value == 0, name
            continue
        ours = losses[name].item()
        assert ours == pytest.approx(value, rel=2e-6, abs=1e-6), name
        inputs = {k: v for k, v in arrays.items() if v.requires_grad}
        grads = torch.autograd.grad(
            losses[name], inputs.values(), allow_unused=True, retain_graph=True
        )
        for key, grad in zip(inputs, grads, strict=True):
            norm = 0.0 if grad is None else grad.norm().item()
            theirs = wanted.get(f'{name}/gradnorm/{key}', 0.0)
            if flag == 'full':
                assert norm == pytest.approx(theirs, rel=1e-5, abs=1e-7), (
                    name,
                    key,
                )


def test_projection_is_that_of_the_camera() -> None:
    torch.manual_seed(0)
    joints = torch.randn(3, 137, 3, dtype=torch.float64)
    camera = torch.rand(3, 3, dtype=torch.float64) + 0.1
    sizes = [(200, 300), (400, 100), (128, 128)]
    ours = project_to_image(
        joints,
        camera,
        torch.tensor(sizes, dtype=torch.float64).flip(1),
    )
    in_camera = joints + weak_perspective_to_translation(camera)[:, None]
    for i, (height, width) in enumerate(sizes):
        K = torch.tensor(Camera.virtual(height, width).K)
        pixels = project_points(in_camera[i], K)
        torch.testing.assert_close(
            ours[i], pixels / torch.tensor([width, height])
        )


def test_projection_keeps_digits_at_scale_zero() -> None:
    """Where a network starts: the camera is 1e9 meters away."""
    joints = torch.tensor([[[0.3, -0.2, 0.4]]])
    camera = torch.zeros(1, 3, requires_grad=True)
    points = project_to_image(joints, camera, torch.tensor([[1.0, 1.0]]))
    (points - 0.5).sum().backward()
    expected = torch.tensor([[5000 * (0.3 - 0.2), 5000.0, 5000.0]])
    torch.testing.assert_close(camera.grad, expected)


@pytest.fixture
def persons(data_dir) -> PersonTargets:
    """Three persons of two images, with mixed flags."""
    batch = Oracle(data_dir / 'oracle/train_S_T1_dn_f64.npz')
    samples = [oracle_sample(batch, i, SIZES[i]) for i in (0, 1)]
    return PersonTargets.from_samples(samples, torch.device('cpu'))


def test_targets_of_a_batch(persons) -> None:
    assert persons.counts == (2, 1) and len(persons) == 3
    assert persons.image_size.tolist() == [[320, 256], [320, 256], [288, 224]]
    assert persons.joints3d_weight[2].sum() == 0  # has_3d is off
    chosen = persons.select(torch.tensor([2, 0]))
    for name, boxes in persons.boxes.items():
        assert torch.equal(chosen.boxes[name], boxes[[2, 0]])


def test_jaw_is_averaged_over_persons(persons) -> None:
    persons.rotations_valid[:, -1] = 1
    right = SMPLXPoseLoss().avg_factors(persons)
    published = SMPLXPoseLoss(jaw_count='any').avg_factors(persons)
    assert right['smplx_pose_jaw'].count == 3
    assert published['smplx_pose_jaw'].count == 1
    persons.rotations_valid[:, -1] = 0
    published = SMPLXPoseLoss(jaw_count='any').avg_factors(persons)
    assert published['smplx_pose_jaw'].count == 0
    assert right['smplx_pose_body'] == published['smplx_pose_body']


def test_face_is_averaged_over_faces(persons) -> None:
    persons.points_visible['lhand'][:] = 0
    persons.points_visible['face'][:] = 1
    persons.box_valid['face'][:] = torch.tensor([1.0, 1.0, 0.0])
    for face_count, expected in (('face', 2), ('lhand', 0)):
        loss = PartKeypointLoss(face_count=face_count)
        assert loss.avg_factors(persons)['face_oks'].count == expected


def test_area_of_oks(persons) -> None:
    """A hand's own box is smaller, so the same distance counts more."""
    points = {'left_hand_keypoints': persons.points['lhand'] + 0.01}
    persons.box_valid['lhand'][:] = 1
    persons.points_visible['lhand'][:] = 1
    persons.boxes['lhand'][:, 2:] = 0.1 * persons.boxes['body'][:, 2:]
    predictions = PersonPredictions({}, points)
    of_body, of_part = (
        PartKeypointLoss(oks_area=area)(predictions, persons, ['lhand_oks'])[
            'lhand_oks'
        ]
        for area in ('body', 'part')
    )
    assert (of_part > of_body).all()


def test_confidence_counts_once(persons) -> None:
    persons.joints2d_weight[:] = 0.5
    joints = torch.zeros(3, 137, 3)
    smplx = _params(3)
    predictions = PersonPredictions({}, {}, smplx, joints)
    once, twice = (
        SMPLXJoint2DLoss(square_confidence=square)(
            predictions, persons, SMPLXJoint2DLoss.terms
        )
        for square in (False, True)
    )
    for name, value in once.items():
        assert (value > 0).all()
        torch.testing.assert_close(value, 2 * twice[name])


def test_root_alignment_ignores_where_the_wrist_is(persons) -> None:
    joints = persons.joints3d.clone()
    joints[:, 25:45] += 0.1
    joints[:, 12] += 0.1
    persons.joints3d_weight[:] = 1
    losses = SMPLXJoint3DLoss()(
        PersonPredictions({}, {}, None, joints),
        persons,
        SMPLXJoint3DLoss.terms,
    )
    assert losses['smplx_lhand_kp3d_ra'].max() < 1e-5
    expected = torch.full((3,), 20 * 3 * 0.1)
    torch.testing.assert_close(losses['smplx_lhand_kp3d'], expected)


def test_no_root_alignment_without_the_root(persons) -> None:
    persons.joints3d_weight[:] = 1
    wrist = 12  # left
    persons.joints3d[0, wrist] = 0  # absent
    persons.joints3d_weight[1, wrist] = 0  # does not supervise
    persons.joints3d[:, 0] = 0
    loss = SMPLXJoint3DLoss()
    predictions = PersonPredictions({}, {}, None, persons.joints3d + 0.1)
    predictions.joints3d[:, wrist] += 0.1
    losses = loss(predictions, persons, loss.terms)
    assert (losses['smplx_lhand_kp3d_ra'] > 0).tolist() == [False, True, True]
    factors = loss.avg_factors(persons)
    assert factors['smplx_lhand_kp3d_ra'].count == 2
    for name in ('lhand_kp3d', 'rhand_kp3d_ra', 'body_kp3d_ra'):
        assert factors[f'smplx_{name}'].count == 3


@pytest.mark.parametrize('random_boxes', [False, True])
@pytest.mark.parametrize('avg_factor', ['persons', 'queries'])
def test_denoising_of_an_image_without_persons(
    avg_factor, random_boxes
) -> None:
    torch.manual_seed(0)
    labels = torch.ones(2, 5, dtype=torch.int64)
    labels[1] = 2
    queries = DenoisingQueries(
        content=torch.zeros(2, 5, 1),
        boxes=torch.rand(2, 5, 4),
        groups=torch.zeros(2, 5),
        target_labels=labels,
        target_boxes=torch.rand(2, 5, 4),
    )
    boxes = torch.rand(2, 5, 4, requires_grad=True)
    loss = DenoisingLoss(avg_factor, random_boxes)
    totals = loss(
        torch.zeros(2, 5, 2), boxes, queries, SigmoidFocalLoss(), loss.terms
    )
    totals['dn_bbox'].backward()
    assert (boxes.grad[1] != 0).any() == random_boxes
    assert (boxes.grad[0] != 0).all()
    factors = loss.avg_factors(queries, 2)
    assert {x.count.item() for x in factors.values()} == {5}
    labels[:] = 2
    count = loss.avg_factors(queries, 2)['dn_bbox'].count
    assert count == (0 if avg_factor == 'persons' else 5)


def test_options_are_checked() -> None:
    for make, message in (
        (lambda: PartKeypointLoss(oks_area='hand'), 'oks_area'),
        (lambda: PartKeypointLoss(face_count='rhand'), 'face_count'),
        (lambda: SMPLXPoseLoss(jaw_count='all'), 'jaw_count'),
        (lambda: DenoisingLoss(avg_factor='all'), 'avg_factor'),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_parts_that_a_stage_lacks_have_no_loss(persons) -> None:
    predictions = PersonPredictions({'body_box': persons.boxes['body']}, {})
    losses = PartBoxLoss()(predictions, persons, PartBoxLoss.terms)
    assert set(losses) == {'body_bbox', 'body_giou'}
    for loss in (PartKeypointLoss(), SMPLXPoseLoss(), SMPLXJoint2DLoss()):
        assert loss(predictions, persons, loss.terms) == {}


@pytest.mark.parametrize(
    'make',
    [
        PartBoxLoss,
        PartKeypointLoss,
        SMPLXPoseLoss,
        SMPLXCoefficientLoss,
        SMPLXJoint3DLoss,
        SMPLXJoint2DLoss,
    ],
)
def test_only_the_wanted_terms_are_there(make, persons) -> None:
    """And each of them alone is what it is among all."""
    loss = make()
    boxes = {part.box_tokens: persons.boxes[part.name] * 0.9 for part in PARTS}
    points = {
        part.point_tokens: persons.points[part.name] * 0.9 for part in PARTS
    }
    predictions = PersonPredictions(
        boxes, points, _params(3), torch.rand(3, 137, 3)
    )
    every = loss(predictions, persons, loss.terms)
    assert set(every) == set(loss.terms)
    for term in loss.terms:
        alone = loss(predictions, persons, [term])
        assert list(alone) == [term]
        assert torch.equal(alone[term], every[term])


def _params(count: int) -> SMPLXParams:
    return SMPLXParams(
        body_pose=torch.rand(count, 22, 3, 3),
        left_hand_pose=torch.rand(count, 15, 3, 3),
        right_hand_pose=torch.rand(count, 15, 3, 3),
        jaw_pose=torch.rand(count, 1, 3, 3),
        betas=torch.rand(count, 10),
        expression=torch.rand(count, 10),
        camera=torch.rand(count, 3) + 0.1,
    )
