# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Comparison of a file's joints with those of its posed bodies."""

from __future__ import annotations

import numpy as np

from .converters.bodies import POSES, smplx_joints
from .human_data import HumanData

HAND_TOLERANCE = 0.005  # meters, after aligning the wrists
_LIMIT = 0.02  # meters; above it, neither convention fits
_HANDS = {'left': slice(25, 40), 'right': slice(40, 55)}
_WRISTS = {'left': 20, 'right': 21}


def posable_rows(data: HumanData, samples: int) -> np.ndarray:
    """At most ``samples`` evenly spaced rows with annotated parameters."""
    params = data.get('smplx')
    if not params or 'left_hand_pose' not in params:
        return np.zeros(0, np.int64)
    meta = data.get('meta', {})
    keep = np.ones(len(data), bool)
    for name, wanted in (('smplx_valid', 1), ('is_kid', 0)):
        value = np.asarray(meta.get(name, ()))
        if value.shape[:1] == (len(data),):
            keep &= (value.reshape(len(data)) != 0) == wanted
    for value in params.values():
        if np.shape(value)[:1] == (len(data),):
            flat = np.asarray(value, float).reshape(len(data), -1)
            keep &= np.isfinite(flat).all(axis=1)
    rows = np.flatnonzero(keep)
    places = np.linspace(0, len(rows) - 1, min(samples, len(rows)))
    return rows[places.astype(int)]


def pose_rows(
    data: HumanData,
    rows: np.ndarray,
    model_path: str | None,
    flat: bool,
    gender: str | None = None,
) -> np.ndarray:
    """Joints of the posed bodies of a file.

    Args:
        data: The file.
        rows: Persons to pose.
        model_path: See :func:`aios.body_models.find_body_model`.
        flat: Whether hand poses are taken as absolute.
        gender: Of all persons; default: ``meta.gender``.

    Returns:
        ``(rows, 144, 3)`` float32 meters, of ``'smplx_144'``.
    """
    params = {
        name: np.asarray(value)[rows].reshape(len(rows), -1)
        for name, value in data['smplx'].items()
        if name in (*POSES, 'betas', 'expression', 'transl')
    }
    params['betas'] = params.get('betas', np.zeros((len(rows), 10)))[:, :11]
    if 'expression' in params:
        params['expression'] = params['expression'][:, :10]
    names = data.get('meta', {}).get('gender', ())
    genders = np.full(len(rows), gender or 'neutral')
    if gender is None and len(names):
        genders = np.asarray(names, dtype=str)[rows]
    joints = np.zeros((len(rows), 144, 3), np.float32)
    for name in set(genders.tolist()):
        mask = genders == name
        group = {key: value[mask] for key, value in params.items()}
        joints[mask] = smplx_joints(group, model_path, name, flat)
    return joints


def pose_errors(
    data: HumanData,
    rows: np.ndarray,
    stored: np.ndarray,
    model_path: str | None,
    flat: bool,
    gender: str | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Distances between stored joints and those of the parameters.

    Args:
        data: The file.
        rows: Persons to pose.
        stored: ``(rows, 55, 4)`` their stored joints.
        model_path: See :func:`aios.body_models.find_body_model`.
        flat: Whether hand poses are taken as absolute.
        gender: Of all persons; default: ``meta.gender``.

    Returns:
        The largest distance in each annotated pair of hands, aligned at the
        wrists, and ``(rows,)`` in each body, aligned at the pelvis; meters.
        Body joints of confidence 0 are left out.
    """
    annotated = stored[..., 3] > 0
    joints = pose_rows(data, rows, model_path, flat, gender)[:, :55]
    hands = []
    for side, fingers in _HANDS.items():
        wrist = _WRISTS[side]
        offset = joints[:, fingers] - joints[:, wrist, None]
        truth = stored[:, fingers, :3] - stored[:, wrist, None, :3]
        # Hands without annotation are skipped.
        known = annotated[:, fingers].all(axis=1) & annotated[:, wrist]
        error = np.linalg.norm(offset - truth, axis=-1).max(axis=1)
        hands.append(np.where(known, error, np.nan))
    body = joints[:, :22] - joints[:, :1]
    truth = stored[:, :22, :3] - stored[:, :1, :3]
    known = annotated[:, :22] & annotated[:, :1]
    distance = np.linalg.norm(body - truth, axis=-1)
    error = np.where(known, distance, 0).max(axis=1)
    worst = np.fmax(*hands)
    return worst[np.isfinite(worst)], error


def fitting_conventions(medians: dict[bool, float]) -> list[bool]:
    """Values of ``flat_hand_mean`` with which the joints agree."""
    fits = [flat for flat, m in medians.items() if m < HAND_TOLERANCE]
    best = min(medians, key=lambda flat: medians[flat])
    is_clear = medians[best] < 0.5 * medians[not best]
    if not fits and is_clear and medians[best] < _LIMIT:
        # Joints regressed from meshes differ slightly from the skeleton's.
        return [best]
    return fits
