# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Multi-scale deformable attention with several kernels.

The operator of *Deformable DETR* (Zhu et al., ICLR 2021, Eq. 3) without its
linear layers. All kernels are equivalent; the device determines the kernel,
unless the caller or the variable ``AIOS_MSDA_KERNEL`` selects one.

Legend: ``B`` images, ``S`` cells of all levels, ``Q`` queries, ``H`` heads,
``D`` channels of a head, ``L`` levels, ``K`` points a level.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aios.utils.tensors import tensor_like

from .msda_cpu import is_available as numba_is_available
from .msda_cpu import numba_kernel, numba_offset_kernel
from .msda_mmcv import is_available as mmcv_is_available
from .msda_mmcv import mmcv_kernel
from .msda_operator import Kernel
from .msda_torch import grid_sample_kernel
from .msda_triton import is_available as triton_is_available
from .msda_triton import triton_kernel

ENV_NAME = 'AIOS_MSDA_KERNEL'
AUTO = 'auto'


@dataclass(frozen=True)
class _Entry:
    """A kernel, its devices, and whether it accepts half precision."""

    run: Kernel
    runs_on: Callable[[torch.device], bool]
    takes_half: bool = False


_KERNELS = {
    'mmcv': _Entry(mmcv_kernel, mmcv_is_available),
    'triton': _Entry(triton_kernel, triton_is_available, takes_half=True),
    'numba': _Entry(numba_kernel, numba_is_available),
    'grid_sample': _Entry(grid_sample_kernel, lambda device: True),
}
# Order of `auto`, fastest first (docs/en/benchmarks.md). `triton` is not
# included before it is measured on a GPU.
_PREFERENCE = {
    'cpu': ('numba', 'grid_sample'),
    'other': ('mmcv', 'grid_sample'),
}


def available_kernels(device: torch.device | str = 'cpu') -> tuple[str, ...]:
    """Names of the kernels that run on a device.

    Args:
        device: Device of the tensors.
    """
    device = torch.device(device)
    return tuple(
        name for name, entry in _KERNELS.items() if entry.runs_on(device)
    )


def multi_scale_deformable_attention(
    value: Tensor,
    spatial_shapes: Sequence[tuple[int, int]],
    sampling_locations: Tensor,
    attention_weights: Tensor,
    kernel: str = AUTO,
) -> Tensor:
    """Sum of bilinear samples of several feature levels.

    Half-precision input is computed in float32; only the result (with
    ``triton`` also gradients) is rounded.

    Args:
        value: ``(B, S, H, D)``, the levels one after another, row by row.
        spatial_shapes: ``(height, width)`` of each level, Python integers.
        sampling_locations: ``(B, Q, H, L, K, 2)`` x, y. A level covers
            ``[0, 1]``, edge to edge, and is padded with zeros.
        attention_weights: ``(B, Q, H, L, K)``.
        kernel: A name of :func:`available_kernels`, or ``'auto'``.

    Returns:
        ``(B, Q, H * D)`` in the dtype of ``value``.

    Raises:
        ValueError: Shapes do not match, or there is no such kernel.
        RuntimeError: The kernel does not run on the device of ``value``.
    """
    _check_shapes(value, spatial_shapes, sampling_locations, attention_weights)
    entry = _KERNELS[resolve_kernel(value.device, kernel)]
    dtype = torch.promote_types(value.dtype, torch.float32)
    # Other kernels get a single dtype, also inside torch.autocast.
    with torch.autocast(value.device.type, enabled=False):
        output = entry.run(
            value if entry.takes_half else value.to(dtype),
            spatial_shapes,
            sampling_locations.to(dtype),
            attention_weights.to(dtype),
        )
    return output.to(value.dtype)


def multi_scale_deformable_attention_by_offsets(
    value: Tensor,
    spatial_shapes: Sequence[tuple[int, int]],
    references: Tensor,
    offsets: Tensor,
    attention_weights: Tensor,
    kernel: str = AUTO,
) -> Tensor:
    """:func:`multi_scale_deformable_attention` around references.

    Without gradients, kernels may omit the tensor of locations.  Result and
    errors are the same.

    Args:
        value: ``(B, S, H, D)``.
        spatial_shapes: ``(height, width)`` of each level.
        references: See :func:`sampling_locations`.
        offsets: ``(B, Q, H, L, K, 2)``, see :func:`sampling_locations`.
        attention_weights: ``(B, Q, H, L, K)``.
        kernel: A name of :func:`available_kernels`, or ``'auto'``.
    """
    inputs = value, references, offsets, attention_weights
    if resolve_kernel(value.device, kernel) != 'numba' or (
        torch.is_grad_enabled() and any(x.requires_grad for x in inputs)
    ):
        locations = sampling_locations(references, offsets, spatial_shapes)
        return multi_scale_deformable_attention(
            value, spatial_shapes, locations, attention_weights, kernel
        )
    _check_references(references, offsets)
    _check_shapes(value, spatial_shapes, offsets, attention_weights)
    dtype = torch.promote_types(value.dtype, torch.float32)
    value_, references, offsets, attention_weights = (
        x.to(dtype) for x in inputs
    )
    output = numba_offset_kernel(
        value_, spatial_shapes, references, offsets, attention_weights
    )
    return output.to(value.dtype)


def sampling_locations(
    references: Tensor,
    offsets: Tensor,
    spatial_shapes: Sequence[tuple[int, int]],
) -> Tensor:
    """Sampling locations from offsets to points or centers of boxes.

    Args:
        references: Points ``(B, Q, L, 2)`` or boxes ``(B, Q, L, 4)`` (cx,
            cy, w, h), as fractions of the level.
        offsets: ``(B, Q, H, L, K, 2)``, in cells for points, in ``K``-ths of
            half the size for boxes.
        spatial_shapes: ``(height, width)`` of each level.

    Returns:
        ``(B, Q, H, L, K, 2)``, float32 at least.

    Raises:
        ValueError: Shapes do not match.
    """
    _check_references(references, offsets)
    dtype = torch.promote_types(references.dtype, torch.float32)
    references = references.to(dtype)[:, :, None, :, None]
    offsets = offsets.to(dtype)
    if references.shape[-1] == 2:
        sizes = [(width, height) for height, width in spatial_shapes]
        return references + offsets / tensor_like(sizes, offsets)[:, None]
    half = references[..., 2:] * 0.5
    return references[..., :2] + offsets / offsets.shape[-2] * half


def resolve_kernel(
    device: torch.device | str = 'cpu', kernel: str = AUTO
) -> str:
    """Name of the kernel that a call runs, never ``'auto'``.

    Args:
        device: Device of the tensors.
        kernel: Requested kernel, or ``'auto'``.

    Raises:
        ValueError: There is no such kernel.
        RuntimeError: The kernel does not run on the device.
    """
    device = torch.device(device)
    _check_name(kernel, 'argument kernel')
    name = kernel
    if name == AUTO:
        name = os.environ.get(ENV_NAME) or AUTO
        _check_name(name, f'environment variable {ENV_NAME}')
    if name == AUTO:
        key = 'cpu' if device.type == 'cpu' else 'other'
        for name in _PREFERENCE[key]:
            if _KERNELS[name].runs_on(device):
                break
    if not _KERNELS[name].runs_on(device):
        raise RuntimeError(
            f'deformable attention kernel {name!r} does not run on {device}; '
            f'available there: {", ".join(available_kernels(device))}'
        )
    return name


def _check_name(name: str, source: str) -> None:
    if name != AUTO and name not in _KERNELS:
        raise ValueError(
            f'{source}: no deformable attention kernel {name!r}; choose from '
            f'{", ".join((AUTO, *_KERNELS))}'
        )


def _check_references(references: Tensor, offsets: Tensor) -> None:
    batch, num_queries, _, num_levels = offsets.shape[:4]
    expected = (batch, num_queries, num_levels)
    if references.shape[:-1] != expected or references.shape[-1] not in (2, 4):
        raise ValueError(
            f'reference_points must be points {(*expected, 2)} or boxes '
            f'{(*expected, 4)}, got {tuple(references.shape)}'
        )


def _check_shapes(
    value: Tensor,
    spatial_shapes: Sequence[tuple[int, int]],
    locations: Tensor,
    weights: Tensor,
) -> None:
    if value.ndim != 4 or locations.ndim != 6:
        raise ValueError(
            'value must be (B, S, H, D) and sampling_locations '
            f'(B, Q, H, L, K, 2), got {tuple(value.shape)} and '
            f'{tuple(locations.shape)}'
        )
    batch, num_cells, num_heads, _ = value.shape
    _, num_queries, _, _, num_points, _ = locations.shape
    expected = (batch, num_queries, num_heads, len(spatial_shapes), num_points)
    if locations.shape != (*expected, 2) or weights.shape != expected:
        raise ValueError(
            f'value {tuple(value.shape)} with {len(spatial_shapes)} levels '
            f'needs sampling_locations {(*expected, 2)} and '
            f'attention_weights {expected}, got {tuple(locations.shape)} and '
            f'{tuple(weights.shape)}'
        )
    total = sum(height * width for height, width in spatial_shapes)
    if total != num_cells:
        raise ValueError(
            f'value has {num_cells} cells, but the levels '
            f'{list(spatial_shapes)} have {total}'
        )
