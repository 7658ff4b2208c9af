# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Metrics for MMEngine's evaluators."""

from .benchmark_metrics import (
    AGORAMeshMetric,
    ARCTICMetric,
    EgoBodyMetric,
    EHFMetric,
    UBodyMetric,
)
from .dump_results import DumpWholeBodyResults
from .mesh_metric import SMPLXMeshMetric
from .whole_body_metric import WholeBodyMetric

__all__ = [
    'AGORAMeshMetric',
    'ARCTICMetric',
    'DumpWholeBodyResults',
    'EHFMetric',
    'EgoBodyMetric',
    'SMPLXMeshMetric',
    'UBodyMetric',
    'WholeBodyMetric',
]
