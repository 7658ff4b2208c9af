# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Operators that exist in several implementations of equal result."""

from .msda import (
    available_kernels,
    get_default_kernel,
    multi_scale_deformable_attention,
    multi_scale_deformable_attention_by_offsets,
    resolve_kernel,
    sampling_locations,
    set_default_kernel,
)

__all__ = [
    'available_kernels',
    'get_default_kernel',
    'multi_scale_deformable_attention',
    'multi_scale_deformable_attention_by_offsets',
    'resolve_kernel',
    'sampling_locations',
    'set_default_kernel',
]
