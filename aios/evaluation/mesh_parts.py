# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Mesh parts of SMPL-X that benchmarks evaluate, read from its files.

Symbols: ``V`` = 10475 vertices.
"""

from __future__ import annotations

import os

import numpy as np

from aios.body_models import (
    VERTEX_JOINTS,
    find_body_model,
    load_j14_regressor,
    load_vertex_ids,
)
from aios.body_models.files import read_model_file, to_plain_arrays
from aios.evaluation.functional import MeshPart
from aios.structures import SMPLX_55, SMPLX_137


def load_mesh_parts(
    model_path: str | os.PathLike | None = None,
) -> dict[str, MeshPart]:
    """Parts and roots for the comparison of whole-body methods.

    ======  =======  =========================  ======================
    part    root     vertices                   joints
    ======  =======  =========================  ======================
    all     pelvis   all 10475                  -
    body    pelvis   -                          14 (LSP)
    lhand   wrist    778 (MANO)                 21 (wrist, 5 x 4)
    rhand   wrist    778 (MANO)                 21
    face    neck     5023 (FLAME)               -
    ======  =======  =========================  ======================

    Args:
        model_path: See :func:`aios.body_models.find_body_model`.

    Returns:
        The parts by name.

    Raises:
        MissingBodyModelError: If a file is missing; the message names it and
            its source.
    """
    regressor = load_joint_regressor(model_path)
    ids = load_vertex_ids(model_path)
    pelvis, neck = (regressor[SMPLX_55.index(n)] for n in ('pelvis', 'neck'))
    parts = {
        'all': MeshPart(pelvis, vertices=np.arange(len(pelvis))),
        'body': MeshPart(
            pelvis, joints=load_j14_regressor(model_path).astype(np.float64)
        ),
        'face': MeshPart(neck, vertices=ids['face']),
    }
    for name, side in (('lhand', 'left'), ('rhand', 'right')):
        joints = hand_regressor(regressor, side)
        parts[name] = MeshPart(joints[0], ids[f'{side}_hand'], joints)
    return parts


def load_joint_regressor(
    model_path: str | os.PathLike | None = None,
) -> np.ndarray:
    """``(55, V)`` float64 regressor from SMPL-X vertices to joints."""
    path = find_body_model(model_path, 'neutral')
    raw = read_model_file(path, ['J_regressor'])
    arrays, _ = to_plain_arrays(raw)
    if 'J_regressor' not in arrays:
        raise ValueError(f'{path}: not an SMPL-X model, it has no J_regressor')
    return arrays['J_regressor'].astype(np.float64)


def hand_regressor(joint_regressor: np.ndarray, side: str) -> np.ndarray:
    """Regressor from vertices to the 21 joints of a hand.

    Args:
        joint_regressor: ``(55, V)``.
        side: ``'left'`` or ``'right'``.

    Returns:
        ``(21, V)``: the wrist, then of thumb, index, middle, ring and little
        finger three joints and the tip, which is a vertex.
    """
    names = (f'{side}_wrist', *SMPLX_137.subset(f'{side}_hand'))
    rows = np.zeros((len(names), joint_regressor.shape[1]))
    for row, name in zip(rows, names, strict=True):
        if name in VERTEX_JOINTS:
            row[VERTEX_JOINTS[name]] = 1
        else:
            row[:] = joint_regressor[SMPLX_55.index(name)]
    return rows
