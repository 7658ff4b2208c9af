# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Metrics for MMEngine's evaluators."""

from .agora_metric import AGORAMetric
from .benchmark_metrics import (
    AGORAMeshMetric,
    ARCTICMetric,
    EgoBodyMetric,
    EHFMetric,
    UBodyMetric,
)
from .coco_wholebody_metric import CocoWholeBodyMetric
from .dump_results import DumpWholeBodyResults
from .mesh_metric import SMPLXMeshMetric
from .submissions import AGORASubmission, BEDLAMSubmission
from .whole_body_metric import WholeBodyMetric

__all__ = [
    'AGORAMeshMetric',
    'AGORAMetric',
    'AGORASubmission',
    'ARCTICMetric',
    'BEDLAMSubmission',
    'CocoWholeBodyMetric',
    'DumpWholeBodyResults',
    'EHFMetric',
    'EgoBodyMetric',
    'SMPLXMeshMetric',
    'UBodyMetric',
    'WholeBodyMetric',
]
