# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""One layer of the progressive decoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mmcv.cnn import build_norm_layer
from mmengine.model import BaseModule, ModuleList
from torch import Tensor

from aios.structures import TokenLayout

from .deformable_attention import DeformableAttention
from .feed_forward import FeedForward
from .person_attention import PersonAttention


@dataclass(frozen=True)
class Memory:
    """The encoded image.

    Args:
        features: ``(B, S, C)`` all levels, one after another.
        mask: ``(B, S)`` bool, true on padding; ``None`` without padding.
        spatial_shapes: ``(height, width)`` of the ``L`` levels.
        valid_ratios: ``(B, L, 2)`` unpadded share of width and height.
    """

    features: Tensor
    mask: Tensor | None
    spatial_shapes: Sequence[tuple[int, int]]
    valid_ratios: Tensor


class ProgressiveDecoderLayer(BaseModule):
    """Person attention, attention to the image and feed-forward network.

    Each is followed by a normalization (post-norm), as in Deformable DETR.

    Args:
        self_attn_cfg: Arguments of :class:`PersonAttention`.
        cross_attn_cfg: Arguments of :class:`DeformableAttention`.
        ffn_cfg: Arguments of :class:`FeedForward`.
        norm_cfg: Kind of normalization.
        init_cfg: Initialization, see :class:`mmengine.model.BaseModule`.
    """

    def __init__(
        self,
        self_attn_cfg: dict[str, Any],
        cross_attn_cfg: dict[str, Any],
        ffn_cfg: dict[str, Any],
        norm_cfg: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.self_attn = PersonAttention(**self_attn_cfg)
        self.cross_attn = DeformableAttention(**cross_attn_cfg)
        self.embed_dims = self.self_attn.embed_dims
        self.ffn = FeedForward(**ffn_cfg)
        self.norms = ModuleList(
            build_norm_layer(norm_cfg or dict(type='LN'), self.embed_dims)[1]
            for _ in range(3)
        )

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        reference_boxes: Tensor,
        memory: Memory,
        layout: TokenLayout,
        num_persons: int,
        dn_groups: Tensor | None = None,
    ) -> Tensor:
        """Update the content of all tokens.

        Args:
            query: ``(B, N + D, C)`` tokens of ``P`` persons (``N = P * T``),
                and denoising tokens behind them.
            query_pos: Positional queries of the same shape.
            reference_boxes: ``(B, N + D, L, 4)`` cxcywh relative to each
                level.
            memory: The encoded image.
            layout: Order of a person's tokens.
            num_persons: ``P``.
            dn_groups: ``(B, D)`` groups of the denoising tokens.

        Returns:
            ``(B, N + D, C)``.
        """
        query = self.self_attn(
            query, query_pos, layout, num_persons, dn_groups
        )
        query = self.norms[0](query)
        query = self.cross_attn(
            query,
            value=memory.features,
            query_pos=query_pos,
            key_padding_mask=memory.mask,
            reference_points=reference_boxes,
            spatial_shapes=memory.spatial_shapes,
        )
        query = self.norms[1](query)
        return self.norms[2](self.ffn(query))
