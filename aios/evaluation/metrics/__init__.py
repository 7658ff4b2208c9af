# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Metrics for MMEngine's evaluators."""

from .agora_metric import AGORAMetric
from .coco_wholebody_metric import CocoWholeBodyMetric
from .dump_results import DumpWholeBodyResults
from .mesh_metric import SMPLXMeshMetric
from .smpl_metric import SMPLMetric
from .submissions import AGORASubmission, BEDLAMSubmission
from .whole_body_metric import WholeBodyMetric
from .world_metric import EMDBWorldMetric

__all__ = [
    'AGORAMetric',
    'AGORASubmission',
    'BEDLAMSubmission',
    'CocoWholeBodyMetric',
    'DumpWholeBodyResults',
    'EMDBWorldMetric',
    'SMPLMetric',
    'SMPLXMeshMetric',
    'WholeBodyMetric',
]
