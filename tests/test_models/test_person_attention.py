# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from aios.models.layers import PersonAttention
from aios.models.layers.token_parts import (
    assemble_parts,
    box_parts,
    point_parts,
    select_parts,
)
from aios.structures import TOKEN_LAYOUTS

WIDTH, HEADS = 16, 2
NUM_DN = 6


def dense_mask(layout, num_persons, dn_groups: Tensor | None) -> Tensor:
    """Who is blocked, ``(B, N + D, N + D)``: the definition, written out."""
    allowed = torch.from_numpy(layout.attention_allowed(num_persons))
    if dn_groups is None:
        return ~allowed[None]
    num_tokens = num_persons * len(layout)
    total = num_tokens + dn_groups.shape[1]
    blocked = torch.ones(len(dn_groups), total, total, dtype=torch.bool)
    blocked[:, :num_tokens, :num_tokens] = ~allowed
    blocked[:, num_tokens:, :num_tokens] = False
    same = dn_groups[:, :, None] == dn_groups[:, None]
    blocked[:, num_tokens:, num_tokens:] = ~same
    return blocked


def naive(attention, query, query_pos, layout, num_persons, dn_groups):
    """The same weights in torch's module, with a mask of all pairs."""
    reference = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
    reference.to(query.dtype).load_state_dict(attention.state_dict())
    mask = dense_mask(layout, num_persons, dn_groups)
    mask = mask.expand(len(query), -1, -1).repeat_interleave(HEADS, dim=0)
    key = query + query_pos
    attended = reference(key, key, query, attn_mask=mask, need_weights=False)[
        0
    ]
    return query + attended, reference


@pytest.mark.parametrize('num_persons', [0, 1, 7, 100])
@pytest.mark.parametrize('denoising', [False, True])
@pytest.mark.parametrize('name', TOKEN_LAYOUTS)
def test_equals_dense_mask(name, num_persons, denoising) -> None:
    torch.manual_seed(0)
    layout = TOKEN_LAYOUTS[name]
    batch = 1 if num_persons == 100 else 2
    total = num_persons * len(layout) + denoising * NUM_DN
    attention = PersonAttention(WIDTH, HEADS).double()
    nn.init.normal_(attention.in_proj_bias)
    query = torch.randn(batch, total, WIDTH, dtype=torch.float64)
    query_pos = torch.randn_like(query)
    groups = torch.arange(NUM_DN).div(4, rounding_mode='floor')
    groups = groups.expand(batch, -1) if denoising else None
    arguments = query, query_pos, layout, num_persons, groups
    ours = attention(*arguments)
    assert ours.shape == query.shape
    if total:
        theirs, _ = naive(attention, *arguments)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize('name', TOKEN_LAYOUTS)
def test_gradients_equal_dense_mask(name) -> None:
    torch.manual_seed(1)
    layout = TOKEN_LAYOUTS[name]
    attention = PersonAttention(WIDTH, HEADS).double()
    query = torch.randn(2, 3 * len(layout) + NUM_DN, WIDTH).double()
    query.requires_grad_()
    query_pos = torch.randn_like(query)
    groups = torch.tensor([[0, 0, 0, 1, 1, 1], [0] * 6])
    arguments = query, query_pos, layout, 3, groups
    weight = torch.randn_like(query)
    ours = attention(*arguments)
    theirs, reference = naive(attention, *arguments)
    wanted = torch.autograd.grad(
        (theirs * weight).sum(), [query, reference.in_proj_weight]
    )
    gradients = torch.autograd.grad(
        (ours * weight).sum(), [query, attention.in_proj_weight]
    )
    torch.testing.assert_close(gradients, wanted, rtol=0, atol=1e-10)


def test_denoising_tokens_are_not_seen() -> None:
    """What training adds does not change what the persons become."""
    layout = TOKEN_LAYOUTS['whole_body']
    attention = PersonAttention(WIDTH, HEADS)
    persons = torch.randn(1, 2 * len(layout), WIDTH)
    noised = torch.randn(1, NUM_DN, WIDTH)
    query = torch.cat((persons, noised), dim=1)
    with_noise = attention(
        query,
        torch.zeros_like(query),
        layout,
        2,
        torch.zeros(1, NUM_DN, dtype=torch.int64),
    )
    without = attention(persons, torch.zeros_like(persons), layout, 2)
    torch.testing.assert_close(with_noise[:, : persons.shape[1]], without)


def test_refuses_a_width_that_heads_cannot_share() -> None:
    with pytest.raises(ValueError, match=r'10.*num_heads \(4\)'):
        PersonAttention(10, 4)


@pytest.mark.parametrize('name', ['body_refinement', 'whole_body'])
def test_parts_come_apart_and_together(name) -> None:
    layout = TOKEN_LAYOUTS[name]
    tokens = torch.arange(2 * 3 * len(layout)).reshape(2, 3, -1)
    boxes = select_parts(tokens, layout, box_parts(layout))
    points = select_parts(tokens, layout, point_parts(layout))
    assert boxes.shape[2] == layout.is_box.sum()
    assert torch.equal(assemble_parts(layout, boxes, points), tokens)
    # The order of names does not matter, that of the layout does.
    names = box_parts(layout)
    again = select_parts(tokens, layout, names[::-1])
    assert torch.equal(again, boxes)
