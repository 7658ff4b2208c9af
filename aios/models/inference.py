# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""A detector rearranged for inference: same results, less time.

What each step saves is in docs/en/benchmarks.md.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch
from mmcv.cnn.utils import fuse_conv_bn
from torch import Tensor, nn

# By name, because importing them would make mmcv load its operators.
_PLAIN_LINEAR = (
    'torch.nn.modules.linear.Linear',
    'mmcv.cnn.bricks.wrappers.Linear',
)


def prepare_for_inference(
    model: nn.Module, onednn: bool | None = None
) -> nn.Module:
    """Rearrange a detector in place, for inference only.

    Batch norms of the backbone become part of the convolutions before them.
    On a CPU, feature maps keep their channels together, and linear layers
    use oneDNN where it is faster than PyTorch's choice.  Results differ by
    rounding.  The model cannot be trained any more, and its state dict is
    another one: load weights first.

    Args:
        model: A detector of MMDetection, with a ``backbone``, in eval mode.
        onednn: Whether linear layers use oneDNN; default:
            :func:`onednn_is_faster`.

    Returns:
        The model.

    Raises:
        ValueError: If the model is in training mode.
        RuntimeError: If oneDNN is asked for but not there.
    """
    if model.training:
        raise ValueError(
            'prepare_for_inference: the model is in training mode; call '
            'model.eval() first'
        )
    if onednn and not _has_onednn():
        raise RuntimeError(
            f'this build of PyTorch ({torch.__version__}) has no oneDNN'
        )
    fuse_conv_bn(model.backbone)
    if next(model.parameters()).device.type == 'cpu':
        for name in ('backbone', 'neck'):
            part: Any = getattr(model, name, nn.Identity())
            part.to(memory_format=torch.channels_last)
        if onednn or (onednn is None and onednn_is_faster()):
            _convert_linear(model)
    return model.requires_grad_(False)


class OneDnnLinear(nn.Linear):
    """:class:`torch.nn.Linear` by oneDNN, without gradients.

    What oneDNN does not do in float32 on a CPU, PyTorch does as always.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map ``(..., in_features)`` to ``(..., out_features)``."""
        if (
            torch.is_grad_enabled()
            or not input.device.type == self.weight.device.type == 'cpu'
            or not input.dtype == self.weight.dtype == torch.float32
            or input.numel() == 0
            or torch.is_autocast_enabled('cpu')
            or torch.compiler.is_compiling()
            or torch.jit.is_tracing()
        ):
            return super().forward(input)
        return torch.ops.mkldnn._linear_pointwise(
            input, self.weight, self.bias, 'none', [], ''
        )


@cache
def onednn_is_faster() -> bool:
    """Whether this is a processor on which that was measured.

    PyTorch multiplies float32 matrices with MKL.  On AMD's processors with
    AVX-512 oneDNN, which PyTorch carries as well, is faster.
    """
    if torch.backends.cpu.get_cpu_capability() != 'AVX512':
        return False
    try:
        processor = Path('/proc/cpuinfo').read_text()
    except OSError:
        return False
    return _has_onednn() and 'AuthenticAMD' in processor


def _has_onednn() -> bool:
    return torch.backends.mkldnn.is_available() and hasattr(
        torch.ops.mkldnn, '_linear_pointwise'
    )


def _convert_linear(module: nn.Module) -> None:
    """Replace plain linear layers, however deep; parameters stay."""
    for name, child in module.named_children():
        kind = type(child)
        if f'{kind.__module__}.{kind.__qualname__}' in _PLAIN_LINEAR:
            layer = OneDnnLinear.__new__(OneDnnLinear)
            # parameters, hooks, and whatever else somebody hung on it
            layer.__dict__.update(child.__dict__)
            module.register_module(name, layer)
        else:
            _convert_linear(child)
