# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The encoder of Deformable DETR with our attention module."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmcv.cnn import build_norm_layer
from mmdet.models.layers import (
    DeformableDetrTransformerEncoder,
    DeformableDetrTransformerEncoderLayer,
)
from mmengine.model import ModuleList
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from aios.registry import MODELS

from .deformable_attention import DeformableAttention
from .feed_forward import FeedForward
from .grids import level_centers


class DeformableEncoderLayer(DeformableDetrTransformerEncoderLayer):
    """MMDetection's layer, with :class:`DeformableAttention`."""

    def _init_layers(self) -> None:
        self.self_attn = DeformableAttention(**self.self_attn_cfg)
        self.embed_dims = self.self_attn.embed_dims
        self.ffn = FeedForward(**self.ffn_cfg)
        self.norms = ModuleList(
            build_norm_layer(self.norm_cfg, self.embed_dims)[1]
            for _ in range(2)
        )


@MODELS.register_module()
class DeformableEncoder(DeformableDetrTransformerEncoder):
    """MMDetection's encoder, with :class:`DeformableAttention`.

    Feature sizes are Python integers, which avoids synchronization, and
    activation checkpointing needs no other package.

    Args:
        num_layers: Number of layers.
        layer_cfg: Arguments of :class:`DeformableEncoderLayer`.
        num_cp: Number of layers, from the first, whose activations are
            recomputed in the backward pass to save memory.
        init_cfg: Initialization, see :class:`mmengine.model.BaseModule`.
    """

    def __init__(
        self,
        num_layers: int,
        layer_cfg: dict[str, Any],
        num_cp: int = 0,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        num_cp = min(num_cp, num_layers)  # as in the decoder
        super().__init__(num_layers, layer_cfg, num_cp, init_cfg)

    def _init_layers(self) -> None:
        self.layers = ModuleList(
            DeformableEncoderLayer(**self.layer_cfg)
            for _ in range(self.num_layers)
        )
        self.embed_dims = self.layers[0].embed_dims

    def forward(
        self,
        query: Tensor,
        query_pos: Tensor,
        key_padding_mask: Tensor | None,
        spatial_shapes: Sequence[tuple[int, int]],
        valid_ratios: Tensor,
    ) -> Tensor:
        """Encode the features of all levels.

        Args:
            query: ``(B, S, C)`` features of all levels, one after another.
            query_pos: ``(B, S, C)`` positions.
            key_padding_mask: ``(B, S)`` bool, true on padding; ``None`` if
                there is no padding.
            spatial_shapes: ``(height, width)`` of the levels.
            valid_ratios: ``(B, L, 2)`` unpadded share of width and height.

        Returns:
            ``(B, S, C)``, the memory.
        """
        centers = level_centers(spatial_shapes, valid_ratios)
        arguments: dict[str, Any] = dict(
            query_pos=query_pos,
            key_padding_mask=key_padding_mask,
            spatial_shapes=spatial_shapes,
            reference_points=centers[:, :, None] * valid_ratios[:, None],
        )
        for index, layer in enumerate(self.layers):
            if self.training and index < self.num_cp:
                query = checkpoint(
                    layer, query, use_reentrant=False, **arguments
                )
            else:
                query = layer(query, **arguments)
        return query
