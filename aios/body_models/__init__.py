# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""SMPL-X bodies: model files, and layers from parameters to meshes.

This package is independent of the networks.  PyTorch is imported with the
first layer that uses it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
from .keypoint_fit import KeypointTargets, fit_to_keypoints
from .layout import VERTEX_JOINTS
from .numpy_layer import NumpySMPLXLayer
from .poser import BodyPoser, PosedBodies, ground_truth_parameters
from .protocol import BodyModel

if TYPE_CHECKING:
    from .base import BodyModelBase, SMPLXOutput
    from .smpl import (
        SMPL_FEET,
        SMPLLayer,
        find_smpl,
        load_h36m_regressor,
        load_smplx_to_smpl,
    )
    from .smplx_layer import SMPLXLayer

__all__ = [
    'BODY_MODELS_ENV',
    'GENDERS',
    'KeypointTargets',
    'SMPL_FEET',
    'VERTEX_JOINTS',
    'BodyModel',
    'BodyModelBase',
    'BodyModelFileError',
    'BodyPoser',
    'MissingBodyModelError',
    'NumpySMPLXLayer',
    'PosedBodies',
    'SMPLLayer',
    'SMPLXLayer',
    'SMPLXOutput',
    'expand_free_body',
    'find_body_model',
    'find_smpl',
    'fit_to_keypoints',
    'free_body_arrays',
    'free_body_dir',
    'ground_truth_parameters',
    'load_body_model_arrays',
    'load_h36m_regressor',
    'load_j14_regressor',
    'load_smplx_to_smpl',
    'load_vertex_ids',
]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name in __all__:
            for module in ('base', 'smpl', 'smplx_layer'):
                found = import_module(f'.{module}', __name__)
                if hasattr(found, name):
                    return getattr(found, name)
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
