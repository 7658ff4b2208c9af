# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Errors, alignment, matching and counts, as functions of arrays.

This package does not depend on data samples, files or body models.  No
function returns NaN for finite input.
"""

from aios.structures import pairwise_iou
from aios.structures.procrustes import SimilarityTransform, procrustes_align

from .agora import (
    AGORA_ERRORS,
    AGORA_PARTS,
    AGORAProtocol,
    agora_costs,
    agora_errors,
    keypoint_boxes,
    match_agora,
)
from .agora_summary import AGORATable, agora_bins, summarize_agora
from .detection import (
    DetectionCounts,
    average_precision,
    normalized_error,
)
from .errors import (
    align_roots,
    masked_mean,
    mean_point_error,
    procrustes_point_error,
)
from .matching import (
    keypoint_box_iou,
    keypoint_cost,
    match_best_overlap,
    match_greedy,
    match_hungarian,
    match_one_per_image,
    unmatched_in_regions,
)
from .mesh import MeshPart, mesh_errors, part_errors, select_points
from .trajectory import (
    foot_sliding,
    jitter,
    root_trajectory_error,
    world_errors,
)

__all__ = [
    'AGORA_ERRORS',
    'AGORA_PARTS',
    'AGORAProtocol',
    'AGORATable',
    'DetectionCounts',
    'MeshPart',
    'SimilarityTransform',
    'agora_bins',
    'agora_costs',
    'agora_errors',
    'align_roots',
    'average_precision',
    'foot_sliding',
    'jitter',
    'keypoint_box_iou',
    'keypoint_boxes',
    'keypoint_cost',
    'masked_mean',
    'match_agora',
    'match_best_overlap',
    'match_greedy',
    'match_hungarian',
    'match_one_per_image',
    'mean_point_error',
    'mesh_errors',
    'normalized_error',
    'pairwise_iou',
    'part_errors',
    'procrustes_align',
    'procrustes_point_error',
    'root_trajectory_error',
    'select_points',
    'summarize_agora',
    'unmatched_in_regions',
    'world_errors',
]
