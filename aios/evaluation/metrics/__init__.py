# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Metrics for MMEngine's evaluators."""

from .dump_results import DumpWholeBodyResults
from .whole_body_metric import WholeBodyMetric

__all__ = ['DumpWholeBodyResults', 'WholeBodyMetric']
