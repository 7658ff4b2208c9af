# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Feed-forward network of transformer layers."""

from __future__ import annotations

import torch
from mmcv.cnn.bricks.transformer import FFN
from torch import Tensor

# Rows of a chunk: its hidden layer of 2048 channels has 16 MiB, close to the
# size of caches, and the matrix product is still large.
_ROWS = 2048


class FeedForward(FFN):
    """MMCV's feed-forward network, in chunks for inference on CPUs.

    The hidden layer, eight times as wide as a token, would be the largest
    tensor of the network.  Arguments, parameters and results are those of
    :class:`mmcv.cnn.bricks.transformer.FFN`.
    """

    def forward(self, x: Tensor, identity: Tensor | None = None) -> Tensor:
        """Transform ``(..., C)``, and add it to ``identity`` or to itself."""
        if (
            torch.is_grad_enabled()
            or x.device.type != 'cpu'
            # Exported files would have a fixed number of chunks.
            or torch.compiler.is_exporting()
        ):
            return super().forward(x, identity)
        identity = x if identity is None else identity
        chunks = [
            super(FeedForward, self).forward(*chunk)
            for chunk in zip(
                x.flatten(0, -2).split(_ROWS),
                identity.flatten(0, -2).split(_ROWS),
                strict=True,
            )
        ]
        return torch.cat(chunks).view_as(x)
