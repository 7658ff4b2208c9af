# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Data preprocessors."""

from .whole_body import WholeBodyDataPreprocessor

__all__ = ['WholeBodyDataPreprocessor']
