# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Heads, which predict persons from hidden states."""

from .aios_head import AiOSHead
from .decoding import DecodingConfig, decode_instances
from .outputs import (
    EncoderOutputs,
    LayerOutputs,
    NetworkOutputs,
    SMPLXParams,
)
from .pose_lifter import PoseLifter
from .smplx_head import SMPLXBranch

__all__ = [
    'AiOSHead',
    'DecodingConfig',
    'EncoderOutputs',
    'LayerOutputs',
    'NetworkOutputs',
    'PoseLifter',
    'SMPLXBranch',
    'SMPLXParams',
    'decode_instances',
]
