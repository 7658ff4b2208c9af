# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Target assignment: ground truth, match costs, assigner."""

from .assigner import BatchHungarianAssigner, Matches
from .match_costs import (
    Candidates,
    ClassCost,
    GIoUCost,
    KeypointL1Cost,
    MatchCost,
    OKSCost,
    PersonBoxL1Cost,
)
from .parts import LIMBS, PARTS, Part
from .person_targets import PersonTargets
from .similarity import object_keypoint_similarity

__all__ = [
    'LIMBS',
    'PARTS',
    'BatchHungarianAssigner',
    'Candidates',
    'ClassCost',
    'GIoUCost',
    'KeypointL1Cost',
    'MatchCost',
    'Matches',
    'OKSCost',
    'Part',
    'PersonBoxL1Cost',
    'PersonTargets',
    'object_keypoint_similarity',
]
