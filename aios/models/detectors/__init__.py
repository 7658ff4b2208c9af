# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Detectors."""

from .aios import AiOS

__all__ = ['AiOS']
