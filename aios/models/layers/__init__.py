# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Layers: encoder, progressive decoder and their modules."""

from .branches import DetectionBranches
from .decoder_layer import Memory, ProgressiveDecoderLayer
from .deformable_attention import DeformableAttention
from .denoising import (
    DenoisingNoise,
    DenoisingQueries,
    DenoisingQueryGenerator,
)
from .encoder import DeformableEncoder, DeformableEncoderLayer
from .person_attention import PersonAttention
from .pose_prior import (
    POSE_CHANNELS,
    PoseHints,
    PoseMaps,
    PosePrior,
    Sightings,
)
from .progressive_decoder import LayerState, ProgressiveDecoder
from .query_expansion import QueryExpansion
from .stages import Stage, read_stages

__all__ = [
    'DeformableAttention',
    'DeformableEncoder',
    'DeformableEncoderLayer',
    'DenoisingNoise',
    'DenoisingQueries',
    'DenoisingQueryGenerator',
    'DetectionBranches',
    'LayerState',
    'Memory',
    'POSE_CHANNELS',
    'PersonAttention',
    'PoseHints',
    'PoseMaps',
    'PosePrior',
    'ProgressiveDecoder',
    'ProgressiveDecoderLayer',
    'QueryExpansion',
    'Sightings',
    'Stage',
    'read_stages',
]
