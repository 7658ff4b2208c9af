# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Hooks of MMEngine's runner."""

from .invalid_loss_hook import InvalidLossError, InvalidLossHook
from .resume_fallback_hook import ResumeFallbackHook
from .step_seed_hook import StepSeedHook
from .visualization_hook import WholeBodyVisualizationHook

__all__ = [
    'InvalidLossError',
    'InvalidLossHook',
    'ResumeFallbackHook',
    'StepSeedHook',
    'WholeBodyVisualizationHook',
]
