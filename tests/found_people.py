# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Made-up people, with all that a detector finds of real ones."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from aios.body_models import SMPLXLayer
from aios.results import SMPLX_ARGUMENTS, complete_instances

__all__ = ['found_people']


def found_people(
    layer: SMPLXLayer, K: np.ndarray, given: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Fields of people of a frame: those given, the others, their joints.

    Args:
        layer: Poses them.
        K: ``(3, 3)`` camera matrix, pixels.
        given: As of :func:`~aios.results.complete_instances`, ``(N, ...)``.
    """
    fields = complete_instances(**given)
    arguments = {n: torch.from_numpy(fields[n]) for n in SMPLX_ARGUMENTS}
    with torch.no_grad():
        joints = layer(**arguments, return_vertices=False).joints.numpy()
    projected = joints @ K.T
    fields['joints3d'] = joints
    fields['joints2d'] = projected[..., :2] / projected[..., 2:]
    return fields
