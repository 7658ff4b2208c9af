# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Evaluation: pure functions of arrays, and the metrics built on them."""

from .metrics import DumpWholeBodyResults, WholeBodyMetric

__all__ = ['DumpWholeBodyResults', 'WholeBodyMetric']
