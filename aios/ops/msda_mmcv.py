# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Multi-scale deformable attention with mmcv's CUDA operator."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from aios.utils import mmcv_ext
from aios.utils.tensors import tensor_like


@cache
def _compiled_for_cuda() -> bool:
    if not mmcv_ext.has_compiled_ops():
        return False
    from mmcv.ops import get_compiling_cuda_version

    # Compiled without nvcc, mmcv only has operators for the CPU, which do not
    # include this one.
    return get_compiling_cuda_version() != 'not available'


def is_available(device: torch.device) -> bool:
    """Whether mmcv has the operator for this device."""
    return device.type == 'cuda' and _compiled_for_cuda()


def mmcv_kernel(
    value: Tensor,
    spatial_shapes: Sequence[tuple[int, int]],
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Run the CUDA operator, for float32 and float64.

    See :class:`aios.ops.msda_operator.Kernel` for arguments and result.
    """
    from mmcv.ops.multi_scale_deform_attn import (
        MultiScaleDeformableAttnFunction,
    )

    starts = [0]
    for height, width in spatial_shapes[:-1]:
        starts.append(starts[-1] + height * width)
    return MultiScaleDeformableAttnFunction.apply(
        value.contiguous(),
        tensor_like(spatial_shapes, value, torch.int64),
        tensor_like(starts, value, torch.int64),
        sampling_locations.contiguous(),
        attention_weights.contiguous(),
        # The step must divide the batch: all images at once.
        value.shape[0],
    )
