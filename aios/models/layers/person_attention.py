# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Self-attention inside and between persons (AiOS paper, Sec. 3.2).

A token attends to the tokens of its own person; box tokens also attend to
the box tokens of all persons.  Denoising tokens attend to all of these and to
their own group, and no others attend to them.  The mask would have 3900 x 3900
entries for 100 persons with 39 tokens each, nearly all of them blocked.  The
attention is computed as several small ones instead.

Legend: ``B`` images, ``P`` persons, ``T`` tokens of a person, ``N = P * T``,
``D`` denoising tokens, ``H`` heads, ``E`` channels of a head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aios.structures import TokenLayout

from .token_parts import assemble_parts, box_parts, point_parts, select_parts


class PersonAttention(nn.Module):
    """Multi-head attention over the tokens of persons, exactly factorized.

    Parameters and results are those of :class:`torch.nn.MultiheadAttention`
    with the mask :meth:`aios.structures.TokenLayout.attention_allowed`.

    Args:
        embed_dims: Width of a token.
        num_heads: Number of heads, a divisor of ``embed_dims``.

    Raises:
        ValueError: If ``embed_dims`` cannot be divided by ``num_heads``.
    """

    def __init__(self, embed_dims: int = 256, num_heads: int = 8) -> None:
        super().__init__()
        if embed_dims % num_heads:
            raise ValueError(
                f'embed_dims ({embed_dims}) must be a multiple of num_heads '
                f'({num_heads})'
            )
        self.embed_dims = embed_dims
        self.num_heads = num_heads
        self.in_proj_weight = nn.Parameter(
            torch.empty(3 * embed_dims, embed_dims)
        )
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * embed_dims))
        self.out_proj = nn.Linear(embed_dims, embed_dims)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        layout: TokenLayout,
        num_persons: int,
        dn_groups: Tensor | None = None,
    ) -> Tensor:
        """Attend, and add the result to the query.

        Args:
            query: ``(B, N + D, C)`` tokens of all persons, person by
                person, and the denoising tokens behind them.
            query_pos: Positional queries of the same shape.
            layout: Order of a person's tokens.
            num_persons: ``P``.
            dn_groups: ``(B, D)`` int64, group of each denoising token;
                ``None`` if there are none.

        Returns:
            ``(B, N + D, C)``.
        """
        q, k, v = self._project(query, query_pos)
        num_tokens = num_persons * len(layout)
        person_q, person_k, person_v = (
            x[:, :num_tokens].unflatten(1, (num_persons, len(layout)))
            for x in (q, k, v)
        )
        attended = _attend_persons(person_q, person_k, person_v, layout)
        attended = attended.flatten(1, 2)
        if dn_groups is not None:
            denoised = _attend_denoising(
                q[:, num_tokens:], k, v, num_tokens, dn_groups
            )
            attended = torch.cat((attended, denoised), dim=1)
        return query + self.out_proj(attended.flatten(2))

    def _project(
        self, query: Tensor, query_pos: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each ``(B, N + D, H, E)``."""
        split = [2 * self.embed_dims, self.embed_dims]
        qk_weight, v_weight = self.in_proj_weight.split(split)
        qk_bias, v_bias = self.in_proj_bias.split(split)
        qk = F.linear(query + query_pos, qk_weight, qk_bias)
        v = F.linear(query, v_weight, v_bias)
        q, k, v = (
            x.unflatten(-1, (self.num_heads, -1))
            for x in (*qk.chunk(2, dim=-1), v)
        )
        return q, k, v


def _attend_persons(
    q: Tensor, k: Tensor, v: Tensor, layout: TokenLayout
) -> Tensor:
    """Attention among the tokens of persons, all ``(B, P, T, H, E)``."""
    boxes, points = box_parts(layout), point_parts(layout)
    box_q, box_k, box_v = (select_parts(x, layout, boxes) for x in (q, k, v))
    if not points:
        return _attend_boxes(box_q, box_k, box_v)
    point_q, point_k, point_v = (
        select_parts(x, layout, points) for x in (q, k, v)
    )
    return assemble_parts(
        layout,
        _attend_boxes(box_q, box_k, box_v, point_k, point_v),
        _attend_inside(point_q, k, v),
    )


def _attend_inside(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention within persons, a batch of ``B * P`` sequences."""
    batch, persons = q.shape[:2]
    q, k, v = (x.flatten(0, 1).transpose(1, 2) for x in (q, k, v))
    attended = F.scaled_dot_product_attention(q, k, v)
    return attended.transpose(1, 2).unflatten(0, (batch, persons))


def _attend_boxes(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    point_k: Tensor | None = None,
    point_v: Tensor | None = None,
) -> Tensor:
    """Box tokens attend to all boxes and to the points of their own person.

    One softmax over both sets of keys, whose scores are computed separately
    because the points differ between persons.

    Args:
        q: ``(B, P, K, H, E)`` queries of the ``K`` boxes of a person.
        k: Their keys.
        v: Their values.
        point_k: ``(B, P, M, H, E)`` keys of the points, if there are any.
        point_v: Their values.

    Returns:
        ``(B, P, K, H, E)``.
    """
    persons_boxes = q.shape[1:3]
    flat_q, flat_k, flat_v = (
        x.flatten(1, 2).transpose(1, 2) for x in (q, k, v)
    )
    if point_k is None or point_v is None:
        attended = F.scaled_dot_product_attention(flat_q, flat_k, flat_v)
        return attended.transpose(1, 2).unflatten(1, persons_boxes)
    flat_q = flat_q * q.shape[-1] ** -0.5
    own_q = flat_q.unflatten(2, persons_boxes)
    own_k, own_v = (x.permute(0, 3, 1, 2, 4) for x in (point_k, point_v))
    scores = torch.cat(
        (
            flat_q @ flat_k.transpose(-1, -2),
            (own_q @ own_k.transpose(-1, -2)).flatten(2, 3),
        ),
        dim=-1,
    )
    weights = scores.softmax(dim=-1).to(flat_v.dtype)
    all_persons, own = weights.tensor_split([flat_k.shape[2]], dim=-1)
    attended = (all_persons @ flat_v).unflatten(2, persons_boxes)
    attended = attended + own.unflatten(2, persons_boxes) @ own_v
    return attended.permute(0, 2, 3, 1, 4)


def _attend_denoising(
    q: Tensor, k: Tensor, v: Tensor, num_tokens: int, groups: Tensor
) -> Tensor:
    """Denoising tokens attend to all persons and to their own group.

    Args:
        q: ``(B, D, H, E)`` queries of the denoising tokens.
        k: ``(B, N + D, H, E)`` keys of all tokens.
        v: Values of all tokens.
        num_tokens: ``N``.
        groups: ``(B, D)``.

    Returns:
        ``(B, D, H, E)``.
    """
    same_group = groups[:, :, None] == groups[:, None]
    allowed = F.pad(same_group, (num_tokens, 0), value=True)
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    attended = F.scaled_dot_product_attention(
        q, k, v, attn_mask=allowed[:, None]
    )
    return attended.transpose(1, 2)
