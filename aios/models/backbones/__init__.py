# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Backbones that MMDetection does not have."""

from .movenet import MoveNet

__all__ = ['MoveNet']
