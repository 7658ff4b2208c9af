# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Operators with several, equivalent implementations."""

from .msda import (
    available_kernels,
    multi_scale_deformable_attention,
    multi_scale_deformable_attention_by_offsets,
    resolve_kernel,
    sampling_locations,
)

__all__ = [
    'available_kernels',
    'multi_scale_deformable_attention',
    'multi_scale_deformable_attention_by_offsets',
    'resolve_kernel',
    'sampling_locations',
]
