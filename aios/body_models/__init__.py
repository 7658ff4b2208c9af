# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""SMPL-X bodies: find and read the files, turn parameters into meshes.

This package knows nothing of networks; it needs :mod:`aios.structures` only.
"""

from __future__ import annotations

from typing import Any

from .base import POSE_JOINTS, BodyModel, BodyModelBase, SMPLXOutput
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
from .smpl import (
    SMPL_FEET,
    SMPLLayer,
    find_smpl,
    load_h36m_regressor,
    load_smplx_to_smpl,
)
from .smplx_layer import VERTEX_JOINTS, SMPLXLayer
from .smplx_package import SMPLXPackageLayer

__all__ = [
    'BACKENDS',
    'BODY_MODELS_ENV',
    'GENDERS',
    'POSE_JOINTS',
    'SMPL_FEET',
    'VERTEX_JOINTS',
    'BodyModel',
    'BodyModelBase',
    'BodyModelFileError',
    'MissingBodyModelError',
    'SMPLLayer',
    'SMPLXLayer',
    'SMPLXOutput',
    'SMPLXPackageLayer',
    'build_body_model',
    'expand_free_body',
    'find_body_model',
    'find_smpl',
    'free_body_arrays',
    'free_body_dir',
    'load_body_model_arrays',
    'load_h36m_regressor',
    'load_j14_regressor',
    'load_smplx_to_smpl',
    'load_vertex_ids',
]

BACKENDS = {'aios': SMPLXLayer, 'smplx': SMPLXPackageLayer}
"""Implementations of :class:`BodyModel` by name."""


def build_body_model(backend: str = 'aios', **kwargs: Any) -> BodyModelBase:
    """Build a body model.

    Args:
        backend: ``'aios'`` for the project's own layer, ``'smplx'`` for the
            ``smplx`` package (non-commercial research licence).
        **kwargs: Arguments of :class:`SMPLXLayer`; both take the same.

    Returns:
        The layer; results of the backends are equal to 1e-5 m.

    Raises:
        ValueError: Unknown backend.
    """
    if backend not in BACKENDS:
        raise ValueError(
            f'backend must be one of {tuple(BACKENDS)}, got {backend!r}'
        )
    return BACKENDS[backend](**kwargs)
