# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""SMPL-X bodies: find and read the files, turn parameters into meshes.

This package knows nothing of networks; it needs :mod:`aios.structures` only.
"""

from __future__ import annotations

from .base import BodyModel, BodyModelBase, SMPLXOutput
from .files import (
    BODY_MODELS_ENV,
    GENDERS,
    BodyModelFileError,
    MissingBodyModelError,
    find_body_model,
    load_body_model_arrays,
    load_j14_regressor,
    load_vertex_ids,
)
from .free_body import expand_free_body, free_body_arrays, free_body_dir
from .poser import BodyPoser, PosedBodies, ground_truth_parameters
from .smpl import (
    SMPL_FEET,
    SMPLLayer,
    find_smpl,
    load_h36m_regressor,
    load_smplx_to_smpl,
)
from .smplx_layer import VERTEX_JOINTS, SMPLXLayer

__all__ = [
    'BODY_MODELS_ENV',
    'GENDERS',
    'SMPL_FEET',
    'VERTEX_JOINTS',
    'BodyModel',
    'BodyModelBase',
    'BodyModelFileError',
    'BodyPoser',
    'MissingBodyModelError',
    'PosedBodies',
    'SMPLLayer',
    'SMPLXLayer',
    'SMPLXOutput',
    'expand_free_body',
    'find_body_model',
    'find_smpl',
    'free_body_arrays',
    'free_body_dir',
    'ground_truth_parameters',
    'load_body_model_arrays',
    'load_h36m_regressor',
    'load_j14_regressor',
    'load_smplx_to_smpl',
    'load_vertex_ids',
]
