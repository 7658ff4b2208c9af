# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Optimize a detector for inference, see ``docs/en/benchmarks.md``."""

from __future__ import annotations

from typing import Any

import torch
from mmcv.cnn.utils import fuse_conv_bn
from torch import nn


def prepare_for_inference(model: nn.Module) -> nn.Module:
    """Optimize a detector in place, for inference only.

    Batch norms of the backbone are fused into the convolutions before them.
    On a CPU, convolutions use the channels-last memory format.  Results
    differ by rounding.  The model cannot be trained afterwards, and its state
    dict changes: load weights first.

    Args:
        model: A detector of MMDetection, with a ``backbone``, in eval mode.

    Returns:
        The model.

    Raises:
        ValueError: If the model is in training mode.
    """
    if model.training:
        raise ValueError(
            'prepare_for_inference: the model is in training mode; call '
            'model.eval() first'
        )
    fuse_conv_bn(model.backbone)
    if next(model.parameters()).device.type == 'cpu':
        for name in ('backbone', 'neck'):
            part: Any = getattr(model, name, nn.Identity())
            part.to(memory_format=torch.channels_last)
    return model.requires_grad_(False)
