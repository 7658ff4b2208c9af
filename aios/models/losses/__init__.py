# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Losses; see ``docs/en/notes/losses.md``."""

from .boxes import PartBoxLoss, box_giou_loss, box_l1_loss
from .criterion import BatchMatches, WholeBodyCriterion
from .denoising import DenoisingLoss
from .focal import SigmoidFocalLoss
from .keypoints import PartKeypointLoss
from .person_loss import AvgFactor, PersonLoss, PersonPredictions
from .smplx import (
    SMPLXCoefficientLoss,
    SMPLXJoint2DLoss,
    SMPLXJoint3DLoss,
    SMPLXPoseLoss,
    project_to_image,
)

__all__ = [
    'AvgFactor',
    'BatchMatches',
    'DenoisingLoss',
    'PartBoxLoss',
    'PartKeypointLoss',
    'PersonLoss',
    'PersonPredictions',
    'SMPLXCoefficientLoss',
    'SMPLXJoint2DLoss',
    'SMPLXJoint3DLoss',
    'SMPLXPoseLoss',
    'SigmoidFocalLoss',
    'WholeBodyCriterion',
    'box_giou_loss',
    'box_l1_loss',
    'project_to_image',
]
