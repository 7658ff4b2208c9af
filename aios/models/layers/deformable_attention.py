# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The attention of *Deformable DETR* on the kernels of :mod:`aios.ops`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmcv.ops import MultiScaleDeformableAttention
from torch import Tensor

from aios.ops import multi_scale_deformable_attention_by_offsets
from aios.registry import MODELS


@MODELS.register_module()
class DeformableAttention(MultiScaleDeformableAttention):
    """Deformable attention without compiled operators.

    Parameters, their names and their initial values are those of mmcv.
    Differences: the batch is always the first dimension, level sizes are
    Python integers (which avoids synchronization), the default dropout is
    zero, and the kernel is selected at run time.

    Legend: ``B`` images, ``S`` cells of all levels, ``Q`` queries, ``C``
    channels, ``L`` levels.

    Args:
        embed_dims: Channels ``C``.
        num_heads: Attention heads.
        num_levels: Levels ``L``.
        num_points: Sampling points of each head on each level.
        dropout: Dropout probability of the output.
        kernel: A name of :func:`aios.ops.available_kernels`, or ``'auto'``.
        **kwargs: Further arguments of mmcv's module. ``batch_first`` may
            only be true.

    Raises:
        ValueError: ``batch_first`` is false.
    """

    def __init__(
        self,
        embed_dims: int = 256,
        num_heads: int = 8,
        num_levels: int = 4,
        num_points: int = 4,
        dropout: float = 0.0,
        kernel: str = 'auto',
        **kwargs: Any,
    ) -> None:
        if not kwargs.setdefault('batch_first', True):
            raise ValueError(
                'DeformableAttention: the batch comes first, '
                'batch_first=False is not supported'
            )
        super().__init__(
            embed_dims=embed_dims,
            num_heads=num_heads,
            num_levels=num_levels,
            num_points=num_points,
            dropout=dropout,
            **kwargs,
        )
        self.kernel = kernel

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        identity: Tensor | None = None,
        query_pos: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        reference_points: Tensor | None = None,
        spatial_shapes: Sequence[tuple[int, int]] | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Attend to a few points around each reference.

        Args:
            query: ``(B, Q, C)``.
            key: Unused; mmcv's transformer passes it.
            value: ``(B, S, C)``, by default the query.
            identity: ``(B, Q, C)`` to add the result to, by default the
                query.
            query_pos: ``(B, Q, C)``, added to the query.
            key_padding_mask: ``(B, S)``, true where the value is padding.
            reference_points: Points ``(B, Q, L, 2)`` or boxes
                ``(B, Q, L, 4)`` (cx, cy, w, h), as fractions of the level.
            spatial_shapes: ``(height, width)`` of each level.
            **kwargs: Ignored, as in mmcv.

        Returns:
            ``(B, Q, C)``: identity plus attention.

        Raises:
            ValueError: References or level sizes are missing or have a wrong
                shape.
        """
        if reference_points is None or spatial_shapes is None:
            raise ValueError(
                'DeformableAttention needs reference_points and spatial_shapes'
            )
        identity = query if identity is None else identity
        value = query if value is None else value
        if query_pos is not None:
            query = query + query_pos
        value = self.value_proj(value)
        if key_padding_mask is not None:
            value = value.masked_fill(key_padding_mask[..., None], 0.0)
        output = multi_scale_deformable_attention_by_offsets(
            value.unflatten(-1, (self.num_heads, -1)),
            spatial_shapes,
            reference_points,
            self._offsets(query),
            self._weights(query),
            kernel=self.kernel,
        )
        return self.dropout(self.output_proj(output)) + identity

    def _weights(self, query: Tensor) -> Tensor:
        """Attention over all points of all levels, ``(B, Q, H, L, K)``."""
        weights = self.attention_weights(query)
        weights = weights.unflatten(-1, (self.num_heads, -1)).softmax(-1)
        return weights.unflatten(-1, (self.num_levels, self.num_points))

    def _offsets(self, query: Tensor) -> Tensor:
        """Sampling offsets, ``(B, Q, H, L, K, 2)``."""
        return self.sampling_offsets(query).unflatten(
            -1, (self.num_heads, self.num_levels, self.num_points, 2)
        )
