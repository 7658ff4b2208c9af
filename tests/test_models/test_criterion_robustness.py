# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Training steps on odd batches, with the tiny model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from gt_fields import ground_truth, image_sample
from mmengine.structures import InstanceData
from torch import Tensor

from aios.models import AiOS, WholeBodyCriterion
from aios.models.heads import EncoderOutputs, NetworkOutputs
from aios.models.losses import AvgFactor, PersonLoss
from aios.models.losses import criterion as criterion_module
from aios.registry import MODELS
from aios.structures import PARTS

SIZE = (96, 128)


def persons_of(persons: int, valid: bool = True) -> InstanceData:
    return ground_truth(persons, SIZE, valid)


def batch_of(persons: Sequence[InstanceData]) -> tuple[Tensor, list]:
    samples = [image_sample(SIZE, instances) for instances in persons]
    return torch.randn(len(persons), 3, *SIZE), samples


def step(model: AiOS, persons: Sequence[InstanceData]) -> dict[str, Tensor]:
    """Losses of a step; every parameter gets a finite gradient."""
    model.train()
    losses = model(*batch_of(persons), mode='loss')
    sum(losses.values()).backward()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
    return losses


def is_of_persons(name: str) -> bool:
    """Whether a loss needs persons; classes and denoising do not."""
    return not name.endswith(('loss_cls', 'dn_loss_bbox', 'dn_loss_giou'))


@pytest.fixture
def model(make_tiny_model: Callable[..., AiOS]) -> AiOS:
    return make_tiny_model()


@pytest.mark.parametrize('counts', [(2, 0), (0, 0), (25, 1)])
def test_any_number_of_persons(counts, model) -> None:
    """None at all, or more than there are candidates (20)."""
    torch.manual_seed(0)
    losses = step(model, [persons_of(count) for count in counts])
    assert len(losses) == 159 - 26
    for name, loss in losses.items():
        assert loss.isfinite() and loss.dtype == torch.float32
        if is_of_persons(name):
            assert (loss > 0) == (sum(counts) > 0), name


@pytest.mark.parametrize('counts', [(2, 1), (0, 0)])
def test_stages_of_one_layer(counts, make_tiny_model) -> None:
    """Whose keypoints have a size that no layer looks at."""
    layouts = 'body_localization', 'body_refinement', 'whole_body'
    stages = [dict(layout=layout, num_layers=1) for layout in layouts]
    model = make_tiny_model(decoder=dict(stages=stages, keep_overlapping=True))
    step(model, [persons_of(count) for count in counts])


@pytest.mark.parametrize('box_relative', [False, True])
def test_smplx_of_matched_persons_alone(box_relative, make_tiny_model) -> None:
    """They are those that prediction for all persons has there."""
    model = make_tiny_model(bbox_head=dict(box_relative=box_relative))
    head, rows = model.bbox_head, []
    model.train()
    for branch in head.smplx:
        branch.register_forward_pre_hook(
            lambda _, inputs: rows.append(inputs[0].shape[:2])
        )
    losses = model(*batch_of([persons_of(2), persons_of(1)]), mode='loss')
    assert rows == [(1, 3)] * 4
    assert sum(losses.values()).isfinite()

    states = []
    head.register_forward_pre_hook(
        lambda _, args, kwargs: states.append((args, kwargs)),
        with_kwargs=True,
    )
    images, samples = batch_of([persons_of(2), persons_of(1)])
    model(images, samples, mode='loss')
    args, kwargs = states[0]
    lazy = head(*args, **kwargs).layers[-1].smplx
    every = head.eval()(*args, **kwargs).layers[-1].smplx
    chosen = torch.tensor([3, 17, 21])

    def take(x: Tensor) -> Tensor:
        return x.flatten(0, 1)[chosen]

    torch.testing.assert_close(vars(lazy.take(take)), vars(every.take(take)))
    torch.testing.assert_close(lazy.camera, every.camera)


def test_image_without_persons_needs_no_fields(model) -> None:
    losses = step(model, [InstanceData(), InstanceData()])
    assert losses['loss_cls'] > 0
    assert losses['dn_loss_bbox'] == 0  # as published: random boxes


def test_nothing_but_bodies(model) -> None:
    """Without annotated parts their losses are exactly zero."""
    losses = step(model, [persons_of(2, False), persons_of(1, False)])
    for name, loss in losses.items():
        boxes = name.endswith(('body_bbox', 'body_giou'))
        if is_of_persons(name):
            assert loss > 0 if boxes else loss == 0, name


@pytest.mark.parametrize('part', PARTS)
def test_person_without_a_part(part, model) -> None:
    persons = persons_of(2)
    persons[f'{part}_valid'][:] = 0
    losses = step(model, [persons])
    for name, loss in losses.items():
        if f'loss_{part}_' in name:
            assert loss == 0, name
    assert losses['loss_body_keypoints'] > 0


def test_person_without_3d(model) -> None:
    persons = persons_of(1)
    persons.has_3d[:] = 0
    losses = step(model, [persons])
    assert losses['loss_smplx_body_kp3d'] == 0
    assert losses['loss_smplx_body_kp2d'] > 0


def test_missing_field_is_named(model) -> None:
    persons = InstanceData(
        bboxes=torch.rand(1, 4), labels=torch.ones(1, dtype=torch.int64)
    )
    with pytest.raises(ValueError, match="gt_instances lack 'lhand_bboxes'"):
        step(model, [persons])


def test_pipeline_without_labels(model) -> None:
    images, samples = batch_of([persons_of(0)])
    del samples[0].gt_instances
    samples[0].set_metainfo(dict(img_path='a/0.jpg'))
    with pytest.raises(ValueError, match=r'0\.jpg.*LoadHumanAnnotations'):
        model(images, samples, mode='loss')


def test_pipeline_of_another_detector(model) -> None:
    """``mmdet.PackDetInputs`` packs no fields of this project."""
    inputs, samples = batch_of([persons_of(0)])
    samples[0].ignored_instances = InstanceData()
    with pytest.raises(ValueError, match='lack bboxes.*PackWholeBodyInputs'):
        model(inputs, samples, mode='loss')


def test_crowds_are_no_background(model) -> None:
    """Candidates in a crowd do not count, unless they are a known person."""
    inputs, samples = batch_of([persons_of(0), persons_of(1)])

    def class_losses(*boxes: Sequence[float]) -> dict[str, float]:
        for sample in samples:
            crowds = InstanceData(bboxes=torch.tensor(boxes).reshape(-1, 4))
            sample.ignored_instances = crowds
        with torch.no_grad():
            losses = model(inputs, samples, mode='loss')
        return {k: float(v) for k, v in losses.items() if 'loss_cls' in k}

    model.train()
    height, width = SIZE
    nothing = class_losses()
    left = class_losses([-width, -height, width / 2, 2 * height])
    everywhere = class_losses([-width, -height, 2 * width, 2 * height])
    names = [name for name in nothing if 'dn_' not in name]
    for name in names:
        assert 0 < everywhere[name] < left[name] <= nothing[name], name
    assert any(left[name] < nothing[name] for name in names)
    del samples[1].ignored_instances
    inputs, samples = inputs[:1], samples[:1]
    only_crowd = class_losses([-width, -height, 2 * width, 2 * height])
    assert all(v == 0 for k, v in only_crowd.items() if 'dn_' not in k)


def test_without_denoising(make_tiny_model) -> None:
    losses = step(make_tiny_model(dn_cfg=None), [persons_of(1)])
    assert not [name for name in losses if 'dn_' in name]


def test_mixed_precision(model) -> None:
    with torch.autocast('cpu', torch.bfloat16):
        losses = step(model, [persons_of(2), persons_of(0)])
    for name, loss in losses.items():
        assert loss.dtype == torch.float32 and loss.isfinite(), name


def test_only_matched_persons_are_posed(model, monkeypatch) -> None:
    """Once, for all layers, and without a mesh."""
    calls = []
    body_model = model.bbox_head.body_model
    forward = body_model.forward

    def record(**kwargs):
        calls.append((len(kwargs['betas']), kwargs['return_vertices']))
        return forward(**kwargs)

    monkeypatch.setattr(body_model, 'forward', record)
    step(model, [persons_of(2), persons_of(1)])
    assert calls == [(3 * 4, False)]


def test_head_without_criterion_says_so(make_tiny_model) -> None:
    model = make_tiny_model()
    model.bbox_head.criterion = None
    with pytest.raises(RuntimeError, match='bbox_head.criterion'):
        step(model, [persons_of(1)])


def losses_of(
    model: AiOS,
    outputs: NetworkOutputs,
    persons: list[InstanceData],
    images: slice,
) -> dict[str, Tensor]:
    """Losses of some images of a batch, from outputs of the whole batch."""

    def cut(value):
        if isinstance(value, Tensor):
            return value[images]
        if isinstance(value, dict):
            return {name: cut(x) for name, x in value.items()}
        return value

    def cut_fields(data):
        changed = {name: cut(value) for name, value in vars(data).items()}
        if getattr(data, 'smplx', None) is not None:
            changed['smplx'] = data.smplx.map(cut)
        return type(data)(**changed)

    part = NetworkOutputs(
        tuple(cut_fields(layer) for layer in outputs.layers),
        EncoderOutputs(*(cut(x) for x in vars(outputs.encoder).values())),
        cut_fields(outputs.dn_queries),
    )
    _, samples = batch_of(persons[images])
    head = model.bbox_head
    matches = head.criterion.match(part, samples)
    joints = head.pose_joints(matches.persons_to_pose())
    return head.criterion(part, matches, joints)


@pytest.mark.parametrize('synchronized', [True, False])
def test_processes_average_to_the_whole_batch(
    synchronized, model, monkeypatch
) -> None:
    """With common averages it does not matter who has which image."""
    torch.manual_seed(0)
    persons = [persons_of(2), persons_of(3)]
    persons[0].rhand_valid[:] = 0
    persons[1].has_3d[:2] = 0
    criterion = model.bbox_head.criterion
    criterion.sync_avg_factors = synchronized
    model.train()
    with torch.no_grad():
        outputs = model(*batch_of(persons), mode='tensor')
        whole = losses_of(model, outputs, persons, slice(0, 2))
        # First let both processes say what they would send to each other.
        sent: list[Tensor] = []
        monkeypatch.setattr(
            criterion_module, 'reduce_mean', lambda x: sent.append(x) or x
        )
        halves = [slice(0, 1), slice(1, 2)]
        for half in halves:
            losses_of(model, outputs, persons, half)
        assert len(sent) == 2  # one message in each step
        mean = torch.stack(sent).mean(0)
        monkeypatch.setattr(criterion_module, 'reduce_mean', lambda x: mean)
        first, second = (
            losses_of(model, outputs, persons, half) for half in halves
        )
    different = {
        name
        for name, loss in whole.items()
        if not torch.isclose((first[name] + second[name]) / 2, loss, rtol=1e-4)
    }
    if synchronized:
        assert not different
    else:
        assert 'loss_rhand_bbox' in different
        assert 'loss_body_bbox' not in different


def criterion_with(
    match_costs=(), loss_cls=None, person_losses=None, **weights
) -> WholeBodyCriterion:
    costs = {stage: [dict(type='ClassCost')] for stage in match_costs}
    return MODELS.build(
        dict(
            type='WholeBodyCriterion',
            assigner=dict(type='BatchHungarianAssigner', match_costs=costs),
            loss_weights=weights,
            loss_cls=loss_cls,
            person_losses=person_losses,
        )
    )


def test_table_of_weights_is_checked() -> None:
    with pytest.raises(ValueError, match="'stage_2' must be one of"):
        criterion_with(stage_2=dict(cls=1.0))
    with pytest.raises(ValueError, match=r"'d4'.*\['focal'\]"):
        criterion_with(d4=dict(focal=1.0))
    with pytest.raises(ValueError, match="'d04' must be one of"):
        criterion_with(d04=dict(cls=1.0))


def test_two_losses_of_one_term() -> None:
    loss = dict(type='PartBoxLoss')
    criterion_with(person_losses=dict(boxes=loss))
    with pytest.raises(ValueError, match="'body_bbox'.*of.*'boxes'"):
        criterion_with(person_losses=dict(my_boxes=loss))


def test_stages_of_match_costs_are_checked() -> None:
    with pytest.raises(ValueError, match="match_costs .*'whole_bodies'"):
        criterion_with(['encoder', 'whole_bodies'])


def test_class_loss_of_mmdet_is_a_sum() -> None:
    focal = dict(type='mmdet.FocalLoss', use_sigmoid=True)
    with pytest.raises(ValueError, match=r"loss_cls\.reduction.*'mean'"):
        criterion_with(loss_cls=focal)
    logits, target = torch.randn(5, 2), torch.eye(5, 2)
    losses = [
        criterion_with(loss_cls=loss).loss_cls(logits, target)
        for loss in (None, dict(focal, reduction='sum'))
    ]
    torch.testing.assert_close(*losses)


def test_a_weight_of_zero_is_not_computed(model, monkeypatch) -> None:
    """Also that of classes, of denoising queries, and of whole groups."""
    asked: set[str] = set()
    criterion = model.bbox_head.criterion
    for loss in (*criterion.person_losses.values(), criterion.loss_denoising):
        forward = loss.forward

        def record(*args, forward=forward):
            asked.update(args[-1])
            return forward(*args)

        monkeypatch.setattr(loss, 'forward', record)

    def refuse(*args):
        raise AssertionError('classes have no weight')

    monkeypatch.setattr(criterion.loss_cls, 'forward', refuse)
    monkeypatch.setattr(model.bbox_head.body_model, 'forward', refuse)
    wanted = {'body_bbox', 'smplx_betas', 'dn_giou'}
    for stage, weights in criterion.loss_weights.items():
        criterion.loss_weights[stage] = {
            term: weight if term in wanted else 0.0
            for term, weight in weights.items()
        }
    losses = step(model, [persons_of(2)])
    assert asked == wanted
    assert {name.rpartition('loss_')[2] for name in losses} == {
        'body_bbox',
        'giou',  # of denoising queries
        'smplx_betas',
    }


def test_a_loss_says_that_it_needs_joints(model) -> None:
    """Whatever the names of its terms."""

    class Reach(PersonLoss):
        terms = ('reach',)
        needs_joints = True

        def forward(self, predictions, targets, terms):
            return {'reach': predictions.joints3d.square().sum((1, 2))}

        def avg_factors(self, targets):
            return {'reach': AvgFactor(targets.betas_valid.sum())}

    criterion = model.bbox_head.criterion
    criterion.person_losses['reach'] = Reach()
    criterion.loss_weights = {'whole_body': {'reach': 1.0}}
    losses = step(model, [persons_of(2)])
    assert losses['loss_reach'] > 0


@pytest.mark.parametrize(
    ('value', 'factors', 'error'),
    [
        (lambda x: x.mean(), ['mine'], r'one value for each of 2 .* \(\)'),
        (lambda x: x, ['mine'], r'Mine: mine must .* got shape \(2, 10\)'),
        (lambda x: x.sum(-1), ['other'], r"Mine: avg_factors lack \['mine'\]"),
    ],
)
def test_mistakes_in_own_losses(value, factors, error, model) -> None:
    class Mine(PersonLoss):
        terms = ('mine',)

        def forward(self, predictions, targets, terms):
            return {'mine': value(targets.betas)}

        def avg_factors(self, targets):
            return {x: AvgFactor(targets.betas_valid.sum()) for x in factors}

    criterion = model.bbox_head.criterion
    criterion.person_losses['mine'] = Mine()
    criterion.loss_weights = {'whole_body': {'mine': 1.0}}
    with pytest.raises(ValueError, match=error):
        step(model, [persons_of(2)])


@pytest.mark.parametrize('term', ['lhand_bbox', 'dn_cls'])
def test_term_that_a_stage_lacks(term, model) -> None:
    model.bbox_head.criterion.loss_weights['encoder'][term] = 1.0
    with pytest.raises(ValueError, match=f"'encoder' has no term '{term}'"):
        step(model, [persons_of(1)])


def test_weights_of_a_layer_that_does_not_exist(model) -> None:
    model.bbox_head.criterion.loss_weights['d6'] = dict(cls=0.5)
    with pytest.raises(ValueError, match="'d6' must be at most d5"):
        step(model, [persons_of(1)])


def test_weight_of_one_layer(model) -> None:
    weights = model.bbox_head.criterion.loss_weights
    torch.manual_seed(0)
    persons = [persons_of(2)]
    model.train()
    inputs = batch_of(persons)
    torch.manual_seed(1)
    usual = model(*inputs, mode='loss')
    weights['d4'] = dict(smplx_body_kp2d=0.1, cls=0.0)
    torch.manual_seed(1)
    changed = model(*inputs, mode='loss')
    assert set(usual) - set(changed) == {'d4.loss_cls'}
    for name, loss in changed.items():
        factor = 0.1 if name == 'd4.loss_smplx_body_kp2d' else 1.0
        torch.testing.assert_close(loss, factor * usual[name])
