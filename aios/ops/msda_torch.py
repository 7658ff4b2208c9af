# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Multi-scale deformable attention in plain torch.

The formula of the paper, level by level, and the reference of all other
kernels.  It runs on any device, needs no compiler and has gradients.

Legend: ``B`` images, ``H`` heads, ``D`` channels of a head, ``Q`` queries,
``K`` points a level.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor


def grid_sample_kernel(
    value: Tensor,
    spatial_shapes: Sequence[tuple[int, int]],
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Sample every level with :func:`torch.nn.functional.grid_sample`.

    See :class:`aios.ops.msda_operator.Kernel` for arguments and result.
    """
    batch, _, num_heads = sampling_locations.shape[:3]
    sizes = [height * width for height, width in spatial_shapes]
    grids = 2 * sampling_locations.movedim(2, 1).flatten(0, 1) - 1
    weights = attention_weights.movedim(2, 1).flatten(0, 1)
    output = value.new_zeros(())
    for level, cells in enumerate(value.split(sizes, dim=1)):
        image = cells.permute(0, 2, 3, 1).flatten(0, 1)
        samples = F.grid_sample(
            image.unflatten(-1, spatial_shapes[level]),
            grids[:, :, level],
            align_corners=False,
        )  # (B * H, D, Q, K), zero outside
        weighted = samples * weights[:, None, :, level]
        output = output + weighted.sum(-1)
    output = output.unflatten(0, (batch, num_heads))  # (B, H, D, Q)
    return output.permute(0, 3, 1, 2).flatten(2)
