# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Necks."""

from .simple_feature_pyramid import SimpleFeaturePyramid

__all__ = ['SimpleFeaturePyramid']
