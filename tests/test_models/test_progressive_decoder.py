# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""How tokens and gradients move through the decoder."""

from __future__ import annotations

import pytest
import torch
from gt_fields import ground_truth, image_sample
from mmengine.structures import InstanceData

from aios.models.layers import QueryExpansion, read_stages
from aios.structures import (
    BODY_REFINEMENT,
    WHOLE_BODY,
    TokenLayout,
    cxcywh_to_xyxy,
    generalized_box_iou,
)


@pytest.fixture
def trained(make_tiny_model):
    """A model, and its outputs in training mode (without denoising)."""
    torch.manual_seed(0)
    model = make_tiny_model(dn_cfg=None).train()
    samples = [image_sample((64, 96)) for _ in range(2)]
    return model, model(torch.randn(2, 3, 64, 96), samples, mode='tensor')


def reached(model, value: torch.Tensor) -> set[str]:
    """Parameters that a value has a gradient for, other than zero."""
    model.zero_grad(set_to_none=True)
    value.backward(retain_graph=True)
    return {
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is not None and parameter.grad.any()
    }


def all_predictions(layer) -> torch.Tensor:
    values = [layer.logits, *layer.boxes.values(), *layer.points.values()]
    return sum(value.square().sum() for value in values)


def test_look_forward_twice(trained) -> None:
    """A layer's boxes train the branch that placed its references, and no
    earlier one, for the content goes on attached and the boxes detached."""
    model, outputs = trained
    names = reached(model, outputs.layers[4].boxes['body_box'].square().sum())
    branch = 'bbox_head.branches.body_box.xywh.{}.layers.2.weight'
    assert branch.format(4) in names
    assert branch.format(3) in names
    assert branch.format(2) not in names
    assert 'decoder.layers.0.self_attn.in_proj_weight' in names


def test_encoder_proposals_start_the_decoder_detached(trained) -> None:
    model, outputs = trained
    names = reached(model, all_predictions(outputs.layers[0]))
    assert not any(name.startswith('bbox_head.encoder') for name in names)
    assert not any(name.startswith('memory_trans') for name in names)
    names = reached(model, outputs.encoder.boxes.square().sum())
    assert 'bbox_head.encoder_box.layers.0.weight' in names


def test_sizes_of_points_are_never_trained(trained) -> None:
    """Published behavior: they only say where the next layer looks."""
    model, outputs = trained
    names = reached(model, sum(map(all_predictions, outputs.layers)))
    for family in ('body', 'hand', 'face'):
        branch = f'bbox_head.branches.{family}_keypoints.'
        assert f'{branch}center.0.layers.2.weight' in names
        assert f'{branch}expansion.layers.2.weight' in names
        assert not any(name.startswith(branch + 'size') for name in names)
    assert 'decoder.expansions.0.left_hand_box.size' in names
    assert 'decoder.expansions.0.body_keypoints.content' in names
    assert 'decoder.expansions.0.body_keypoints.size' not in names
    assert 'decoder.expansions.1.face_keypoints.size' not in names


def test_persons_are_the_best_candidates(trained) -> None:
    """The state says which candidates went on; without repeats."""
    model, _ = trained
    states = []
    model.decoder.register_forward_hook(lambda *args: states.extend(args[2]))
    with torch.no_grad():
        model(torch.randn(1, 3, 64, 96), None, mode='tensor')
    assert states[0].persons is states[1].persons is None
    persons = states[2].persons
    assert persons.shape == (1, 20)
    assert len(persons.unique()) == 20
    assert all(state.persons is persons for state in states[3:])
    assert [state.hidden.shape[1:3] for state in states] == [
        (100, 1),
        (100, 1),
        (20, 21),
        (20, 21),
        (20, 39),
        (20, 39),
    ]


@pytest.mark.parametrize('keep', [False, True])
@torch.no_grad()
def test_candidates_at_persons_go_on_in_training(
    keep, make_tiny_model
) -> None:
    torch.manual_seed(0)
    model = make_tiny_model().train()
    model.decoder.keep_overlapping = keep
    corners = torch.tensor([[0.0, 0, 20, 30], [50, 10, 90, 60]])
    persons = InstanceData(bboxes=corners, labels=torch.ones(2).long())
    sample = image_sample((64, 96), persons)
    states = []
    model.decoder.register_forward_hook(lambda *args: states.extend(args[2]))

    def both_go_on() -> bool:
        states.clear()
        outputs = model(torch.randn(1, 3, 64, 96), [sample], mode='tensor')
        boxes = cxcywh_to_xyxy(outputs.layers[1].boxes['body_box'][0])
        size = torch.tensor([96, 64, 96, 64])
        overlap = generalized_box_iou(boxes[:, None], corners / size)
        kept = states[2].persons[0].tolist()
        assert len(set(kept)) == 20
        return set(overlap.argmax(dim=0).tolist()) <= set(kept)

    assert all(both_go_on() for _ in range(5)) == keep
    model.eval()  # nobody knows persons now
    assert not all(both_go_on() for _ in range(5))


@torch.no_grad()
def test_copies_leave_the_first_stage_last(make_tiny_model) -> None:
    torch.manual_seed(0)
    model = make_tiny_model().eval()
    two_places = torch.tensor([[0.25, 0.5, 0.4, 0.8], [0.75, 0.5, 0.4, 0.8]])

    def all_at_two_places(_, args, kwargs) -> tuple:
        count = kwargs['reference_boxes'].shape[1]
        boxes = two_places.repeat_interleave(count // 2, dim=0)
        return args, kwargs | dict(reference_boxes=boxes[None])

    states = []
    model.decoder.register_forward_pre_hook(
        all_at_two_places, with_kwargs=True
    )
    model.decoder.register_forward_hook(lambda *args: states.extend(args[2]))
    shape = (64, 96)
    sample = image_sample(shape)

    def places(threshold: float, count: int, seed: int) -> list[bool]:
        """For each candidate that goes on, whether it is at the second."""
        states.clear()
        model.decoder.nms_iou_thr = threshold
        model.decoder.num_persons = count
        torch.manual_seed(seed)
        model(torch.randn(1, 3, *shape), [sample], mode='tensor')
        return (states[2].persons[0] >= model.num_queries // 2).tolist()

    seeds = range(5)
    assert any(len(set(places(-1.0, 2, seed))) == 1 for seed in seeds)
    for seed in seeds:
        assert set(places(0.3, 2, seed)) == {False, True}
    # where there are too few others, copies go on as well
    assert len(places(0.3, 50, 0)) == 50


def test_expansion_keeps_tokens_and_grows_from_parents() -> None:
    torch.manual_seed(0)
    expansion = QueryExpansion(BODY_REFINEMENT, WHOLE_BODY, embed_dims=8)
    content = torch.randn(2, 3, 21, 8)
    boxes = torch.rand(2, 3, 21, 4) * 0.5 + 0.25
    grown = [part.name for part in WHOLE_BODY.new_parts(BODY_REFINEMENT)]
    centered = {name: lambda x: torch.zeros_like(x[..., :2]) for name in grown}
    new_content, new_boxes = expansion(content, boxes, centered)
    place = [WHOLE_BODY.names.index(x) for x in BODY_REFINEMENT.names]
    assert torch.equal(new_content[:, :, place], content)
    assert torch.equal(new_boxes[:, :, place], boxes)
    for name in grown:
        part, parent = WHOLE_BODY.slices[name], WHOLE_BODY.part(name).parent
        queries = expansion.get_submodule(name)
        box = boxes[:, :, BODY_REFINEMENT.slices[parent]]
        points = new_boxes[:, :, part]
        torch.testing.assert_close(
            points[..., :2], box[..., :2].expand(-1, -1, 6, -1)
        )
        torch.testing.assert_close(
            points[..., 2:], box[..., 2:] * queries.size.sigmoid()
        )
        torch.testing.assert_close(
            new_content[:, :, part],
            content[:, :, BODY_REFINEMENT.slices[parent]] + queries.content,
        )


def test_a_stage_can_be_skipped(make_tiny_model) -> None:
    """Hands and their keypoints are new together."""
    layouts = 'body_localization', 'whole_body'
    model = make_tiny_model(
        decoder=dict(stages=[dict(layout=x, num_layers=1) for x in layouts]),
    ).train()
    sample = image_sample((64, 96), persons=ground_truth(2, (64, 96)))
    losses = model(torch.randn(1, 3, 64, 96), [sample], mode='loss')
    assert losses['loss_lhand_keypoints'].isfinite()
    sum(losses.values()).backward()
    unused = [n for n, p in model.named_parameters() if p.grad is None]
    assert not [n for n in unused if model.get_parameter(n).requires_grad]


def test_stages_count_layers() -> None:
    stages = read_stages(
        [
            dict(layout='body_localization', num_layers=1),
            dict(layout='whole_body', num_layers=3),
        ]
    )
    assert [stage.first_layer for stage in stages] == [0, 1]
    assert [stage.last_layer for stage in stages] == [0, 3]
    assert isinstance(stages[1].layout, TokenLayout)


@pytest.mark.parametrize(
    ('stages', 'error'),
    [
        ([], 'single box token'),
        ([('body_refinement', 2)], 'single box token'),
        ([('body_localization', 0)], 'got 0'),
        ([('body_localization', 1.5)], 'got 1.5'),
        ([('hands', 1)], "unknown layout 'hands'.*body_localization"),
        (
            [('body_localization', 1), ('whole_body', 1)]
            + [('body_refinement', 1)],
            "'body_refinement' lacks tokens of 'whole_body'",
        ),
    ],
)
def test_stages_that_make_no_sense(stages, error) -> None:
    with pytest.raises(ValueError, match=error):
        read_stages(
            [dict(layout=name, num_layers=count) for name, count in stages]
        )


def test_keys_of_stages_are_checked() -> None:
    for stage in dict(layout='whole_body'), dict(layers=2, num_layers=2):
        with pytest.raises(ValueError, match='must have layout and num_la'):
            read_stages([stage])
