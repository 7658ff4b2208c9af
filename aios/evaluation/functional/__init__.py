# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Errors, alignment, matching and counts, as functions of arrays.

Nothing here knows data samples, files or body models, and no function
returns NaN for finite input.
"""

from .agora import (
    AGORA_ERRORS,
    AGORA_PARTS,
    AGORAProtocol,
    agora_costs,
    agora_errors,
    inclusive_iou,
    keypoint_boxes,
    match_agora,
)
from .agora_summary import AGORATable, agora_bins, summarise_agora
from .detection import DetectionCounts, average_precision
from .errors import (
    align_roots,
    masked_mean,
    mean_point_error,
    procrustes_point_error,
)
from .matching import (
    match_best_overlap,
    match_greedy,
    match_hungarian,
    pairwise_iou,
)
from .procrustes import SimilarityTransform, procrustes_align

__all__ = [
    'AGORA_ERRORS',
    'AGORA_PARTS',
    'AGORAProtocol',
    'AGORATable',
    'DetectionCounts',
    'SimilarityTransform',
    'agora_bins',
    'agora_costs',
    'agora_errors',
    'align_roots',
    'average_precision',
    'inclusive_iou',
    'keypoint_boxes',
    'masked_mean',
    'match_agora',
    'match_best_overlap',
    'match_greedy',
    'match_hungarian',
    'mean_point_error',
    'pairwise_iou',
    'procrustes_align',
    'procrustes_point_error',
    'summarise_agora',
]
