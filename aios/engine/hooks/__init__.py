# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Hooks of MMEngine's runner."""

from .async_runtime_info_hook import AsyncRuntimeInfoHook
from .atomic_checkpoint_hook import AtomicCheckpointHook
from .data_only_loading_hook import DataOnlyLoadingHook
from .resume_fallback_hook import ResumeFallbackHook
from .step_numbers import InvalidLossError
from .step_seed_hook import StepSeedHook
from .visualization_hook import WholeBodyVisualizationHook

__all__ = [
    'AsyncRuntimeInfoHook',
    'AtomicCheckpointHook',
    'DataOnlyLoadingHook',
    'InvalidLossError',
    'ResumeFallbackHook',
    'StepSeedHook',
    'WholeBodyVisualizationHook',
]
