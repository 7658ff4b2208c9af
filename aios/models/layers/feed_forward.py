# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The two linear layers behind attention."""

from __future__ import annotations

import torch
from mmcv.cnn.bricks.transformer import FFN
from torch import Tensor

# Rows of a piece: its hidden layer of 2048 channels (16 MiB) stays near the
# caches, and the product of matrices is still a large one.
_ROWS = 2048


class FeedForward(FFN):
    """MMCV's feed-forward network, piece by piece for inference on CPUs.

    The hidden layer is eight times as wide as a token: for all tokens of a
    image, the largest tensor of the network.  It need not exist as a whole.
    Arguments, parameters and results are those of
    :class:`mmcv.cnn.bricks.transformer.FFN`.
    """

    def forward(self, x: Tensor, identity: Tensor | None = None) -> Tensor:
        """Transform ``(..., C)``, and add it to ``identity`` or to itself."""
        if (
            torch.is_grad_enabled()
            or x.device.type != 'cpu'
            # Exported files would have a fixed number of pieces.
            or torch.compiler.is_exporting()
        ):
            return super().forward(x, identity)
        start = x if identity is None else identity
        pieces = [
            super(FeedForward, self).forward(*piece)
            for piece in zip(
                x.flatten(0, -2).split(_ROWS),
                start.flatten(0, -2).split(_ROWS),
                strict=True,
            )
        ]
        return torch.cat(pieces).view_as(x)
