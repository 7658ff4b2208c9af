# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Backbones."""

from .movenet import MoveNet

__all__ = ['MoveNet']
