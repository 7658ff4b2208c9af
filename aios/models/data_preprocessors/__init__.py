# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""From images to the batch the network sees."""

from .whole_body import WholeBodyDataPreprocessor

__all__ = ['WholeBodyDataPreprocessor']
