# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Body models for converters: joints, root motions, neutral shapes.

Symbols: ``N`` persons, ``J`` = 144 joints, ``V`` vertices, ``S``
coefficients.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from aios.body_models import (
    VERTEX_JOINTS,
    BodyPoser,
    SMPLLayer,
    SMPLXLayer,
    find_body_model,
    load_body_model_arrays,
)
from aios.structures.procrustes import procrustes_align
from aios.utils.safe_io import load_npy, load_pickle

from .base import reading

POSES: Mapping[str, int] = {
    'global_orient': 3,
    'body_pose': 63,
    'left_hand_pose': 45,
    'right_hand_pose': 45,
    'jaw_pose': 3,
    'leye_pose': 3,
    'reye_pose': 3,
}
"""Poses of an SMPL-X dictionary and their lengths per person."""


@lru_cache(maxsize=8)
def _poser(model_path: str | None, num_betas: int, flat: bool) -> BodyPoser:
    return BodyPoser(
        dict(
            type=SMPLXLayer,
            model_path=model_path,
            num_betas=num_betas,
            flat_hand_mean=flat,
        )
    )


@lru_cache(maxsize=4)
def _arrays(model_path: str | None, gender: str) -> dict[str, np.ndarray]:
    return load_body_model_arrays(find_body_model(model_path, gender))


def smplx_joints(
    params: Mapping[str, np.ndarray],
    model_path: str | None = None,
    gender: str = 'neutral',
    flat_hand_mean: bool = False,
) -> np.ndarray:
    """Joints of SMPL-X bodies.

    Args:
        params: ``betas`` ``(N, S)``, poses of :data:`POSES`, ``expression``
            ``(N, 10)``, ``transl`` ``(N, 3)``; absent values are zero.
        model_path: See :func:`aios.body_models.find_body_model`.
        gender: Of all persons.
        flat_hand_mean: Whether hand poses are absolute.

    Returns:
        ``(N, 144, 3)`` float32 meters.
    """
    known = ('betas', 'expression', 'transl', *POSES)
    given = {
        name: np.asarray(params[name], np.float32)
        for name in known
        if name in params
    }
    for name in POSES.keys() & given.keys():
        given[name] = given[name].reshape(-1, POSES[name])
    poser = _poser(model_path, given['betas'].shape[1], flat_hand_mean)
    return poser(
        given, gender, joint_set='smplx_144', return_vertices=False
    ).joints


def smpl_joints(
    pose: np.ndarray,
    betas: np.ndarray,
    transl: np.ndarray,
    model_path: str | None = None,
    gender: str = 'neutral',
) -> np.ndarray:
    """Joints of SMPL bodies of one shape.

    Args:
        pose: ``(N, 72)`` axis-angle.
        betas: ``(S,)``.
        transl: ``(N, 3)`` meters.
        model_path: See :func:`aios.body_models.find_smpl`.
        gender: Of all persons.

    Returns:
        ``(N, 24, 3)`` float64 meters.
    """
    shape = np.broadcast_to(betas, (len(pose), len(betas)))
    parameters = dict(
        betas=shape, global_orient=pose[:, :3], body_pose=pose[:, 3:]
    )
    bodies = _smpl_poser(model_path, len(betas))(parameters, gender)
    return bodies.joints + transl[:, None]


@lru_cache(maxsize=3)
def _smpl_poser(model_path: str | None, num_betas: int) -> BodyPoser:
    return BodyPoser(
        dict(
            type=SMPLLayer,
            model_path=model_path,
            num_betas=num_betas,
            dtype=torch.float64,
        )
    )


def read_fits(
    files: Sequence[Path], model_path: str | None, gender: str
) -> dict[str, np.ndarray]:
    """Read SMPL-X parameters from pickles of one person each.

    Args:
        files: ``N`` pickles with ``betas``, ``expression``, ``transl`` and
            the poses of :data:`POSES`; hands may be PCA coefficients.
        model_path: See :func:`aios.body_models.find_body_model`.
        gender: Of all persons.

    Returns:
        Arrays ``(N, ...)`` by name, with ``betas_neutral``.
    """
    names = ('betas', 'expression', 'transl', *POSES)
    rows = []
    for file in files:
        raw = load_pickle(file)
        with reading(file):
            rows.append(
                {k: np.ravel(raw[k]).astype(np.float64) for k in names}
            )
    params = {k: np.stack([row[k] for row in rows]) for k in names}
    for side in ('left', 'right'):
        params[f'{side}_hand_pose'] = axis_angle_hands(
            params[f'{side}_hand_pose'], model_path, gender, side
        )
    params['betas'] = params['betas'][:, :10]
    params['expression'] = params['expression'][:, :10]
    params['betas_neutral'] = neutral_betas(
        params['betas'], model_path, gender
    )
    return params


def move_root(
    global_orient: np.ndarray,
    transl: np.ndarray,
    pelvis: np.ndarray,
    rotation: np.ndarray,
    translation: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Root of bodies after a rigid motion of the world.

    SMPL-X rotates about the pelvis, not the origin, so the change of
    ``transl`` depends on the rotation, too.

    Args:
        global_orient: ``(N, 3)`` axis-angle.
        transl: ``(N, 3)`` meters.
        pelvis: ``(N, 3)`` position of the pelvis joint with ``transl``.
        rotation: ``(3, 3)`` or ``(N, 3, 3)``.
        translation: ``(3,)`` or ``(N, 3)``.

    Returns:
        New ``global_orient`` and ``transl``.
    """
    root = Rotation.from_rotvec(global_orient).as_matrix()
    turned = Rotation.from_matrix(rotation @ root).as_rotvec()
    rest = pelvis - transl
    moved = np.einsum('...ij,...j->...i', rotation, pelvis) + translation
    return turned, moved - rest


def move_bodies(
    params: Mapping[str, np.ndarray],
    joints: np.ndarray,
    rotation: np.ndarray,
    translation: np.ndarray,
) -> dict[str, np.ndarray]:
    """Parameters of bodies after a rigid motion of the world.

    Args:
        params: SMPL-X dictionary.
        joints: ``(N, J, 3)`` meters, of ``params``.
        rotation: See :func:`move_root`.
        translation: See there.
    """
    orient, transl = move_root(
        params['global_orient'],
        params['transl'],
        joints[:, 0].astype(np.float64),
        rotation,
        translation,
    )
    return {**params, 'global_orient': orient, 'transl': transl}


def rigid_alignment(
    source: np.ndarray, target: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rigid motion that aligns points with others.

    Args:
        source: ``(N, J, 3)``.
        target: ``(N, J, 3)``.

    Returns:
        Rotations ``(N, 3, 3)``, translations ``(N, 3)``, and the largest
        remaining distance ``(N,)``.
    """
    motion = procrustes_align(source, target, with_scale=False)
    residual = np.linalg.norm(motion(source) - target, axis=-1).max(1)
    return motion.rotation, motion.translation, residual


def model_joints(
    vertices: np.ndarray, model_path: str | None, gender: str = 'neutral'
) -> np.ndarray:
    """Regress joints ``(..., 55, 3)`` from vertices ``(..., V, 3)``."""
    return _arrays(model_path, gender)['J_regressor'] @ vertices


def mesh_joints(
    vertices: np.ndarray, model_path: str | None, gender: str = 'neutral'
) -> np.ndarray:
    """Joints of registered meshes.

    The skeleton is regressed from the posed mesh and differs by millimeters
    from the joints of a posed skeleton.

    Args:
        vertices: ``(N, V, 3)``.
        model_path: See :func:`aios.body_models.find_body_model`.
        gender: Of the model whose regressor is used.

    Returns:
        ``(N, 127, 3)``: all of ``'smplx_144'`` but the contour of the face.
    """
    arrays = _arrays(model_path, gender)
    corners = arrays['f'].astype(np.int64)[arrays['lmk_faces_idx']]
    landmarks = np.einsum(
        'nlck,lc->nlk', vertices[:, corners], arrays['lmk_bary_coords']
    )
    tips = vertices[:, list(VERTEX_JOINTS.values())]
    skeleton = model_joints(vertices, model_path, gender)
    return np.concatenate((skeleton, tips, landmarks), axis=1)


def fit_shape(
    vertices: np.ndarray, model_path: str | None, gender: str
) -> np.ndarray:
    """Fit shape coefficients to bodies in the rest pose.

    Least squares over all vertices, up to a translation.

    Args:
        vertices: ``(N, V, 3)`` in the rest pose.
        model_path: See :func:`aios.body_models.find_body_model`.
        gender: Of the fitted model.

    Returns:
        ``(N, 10)`` float32.
    """
    arrays = _arrays(model_path, gender)
    inverse = _shape_inverse(model_path, gender)
    offset = np.asarray(vertices, np.float64) - arrays['v_template']
    offset -= offset.mean(axis=1, keepdims=True)
    return (offset.reshape(len(offset), -1) @ inverse.T).astype(np.float32)


@lru_cache(maxsize=4)
def _shape_inverse(model_path: str | None, gender: str) -> np.ndarray:
    directions = _directions(_arrays(model_path, gender), 10)
    directions -= directions.mean(axis=0, keepdims=True)
    return np.linalg.pinv(directions.reshape(-1, 10))


def _directions(arrays: Mapping[str, np.ndarray], count: int) -> np.ndarray:
    return arrays['shapedirs'][:, :, :count].astype(np.float64)


def neutral_betas(
    betas: np.ndarray, model_path: str | None, gender: str
) -> np.ndarray:
    """Convert shapes of a gendered model to the neutral one.

    Args:
        betas: ``(N, S)`` of the gendered model.
        model_path: See :func:`aios.body_models.find_body_model`.
        gender: Of ``betas``.

    Returns:
        ``(N, 10)`` float32; ``betas`` themselves if they are neutral.
    """
    betas = np.asarray(betas, np.float64)
    if gender == 'neutral':
        return betas[:, :10].astype(np.float32)
    matrix, offset = _to_neutral(model_path, gender, betas.shape[1])
    return (betas @ matrix + offset).astype(np.float32)


@lru_cache(maxsize=8)
def _to_neutral(
    model_path: str | None, gender: str, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and offset of the conversion, which is affine in the betas."""
    arrays = _arrays(model_path, gender)
    bodies = arrays['v_template'] + np.concatenate(
        (
            np.zeros((1, *arrays['v_template'].shape)),
            np.moveaxis(_directions(arrays, count), 2, 0),
        )
    )
    fitted = fit_shape(bodies, model_path, 'neutral').astype(np.float64)
    return fitted[1:] - fitted[0], fitted[0]


def kid_gender(gender: str) -> str:
    """Gender of the model that poses AGORA's children.

    Boys use the male model, all others the neutral one:
    https://github.com/pixelite1201/agora_evaluation/blob/master/docs/kid_model.md

    Args:
        gender: Of the child.
    """
    return 'male' if gender == 'male' else 'neutral'


@lru_cache(maxsize=8)
def kid_model(model_path: str | None, gender: str, template: str) -> str:
    """Model file whose 11th coefficient interpolates from adult to child.

    This is AGORA's model of children: the difference between the mean
    infant (SMIL), centered, and the mean adult is an additional direction.

    Args:
        model_path: See :func:`aios.body_models.find_body_model`.
        gender: Of the adult, see :func:`kid_gender`.
        template: ``smplx_kid_template.npy`` ``(V, 3)``.

    Returns:
        Path of a temporary file, which the process removes at its end.
    """
    arrays = dict(_arrays(model_path, gender))
    child = np.asarray(load_npy(template), np.float64)
    if child.shape != arrays['v_template'].shape:
        raise ValueError(
            f'{template}: must have shape {arrays["v_template"].shape}, got '
            f'{child.shape}'
        )
    direction = child - child.mean(axis=0) - arrays['v_template']
    directions = arrays['shapedirs'].copy()
    if directions.shape[2] < 400:
        raise ValueError(
            f'{find_body_model(model_path, gender)}: children need a file '
            'with 300 shape directions (version 1.1), it has '
            f'{directions.shape[2]} directions'
        )
    directions[:, :, 10] = direction
    arrays['shapedirs'] = directions
    path = Path(_temporary_folder().name) / f'kid_{gender}.npz'
    contents: dict[str, Any] = arrays
    np.savez(path, **contents)
    return os.fspath(path)


@lru_cache(maxsize=1)
def _temporary_folder() -> Any:
    return tempfile.TemporaryDirectory(prefix='aios-kid-')


def axis_angle_hands(
    pose: np.ndarray, model_path: str | None, gender: str, side: str
) -> np.ndarray:
    """Hand poses relative to the mean hand, converted from PCA if necessary.

    Args:
        pose: ``(N, 45)`` or ``(N, 15, 3)`` axis-angle, or ``(N, C)`` PCA
            coefficients, ``C < 45``.
        model_path: Source of the components.
        gender: Of the model.
        side: ``'left'`` or ``'right'``.

    Returns:
        ``(N, 45)``.

    Raises:
        ValueError: If the model file has no components.
    """
    pose = np.asarray(pose, np.float64)
    pose = pose.reshape(len(pose), -1)
    if pose.shape[1] == 45:
        return pose
    arrays = _arrays(model_path, gender)
    key = f'hands_components{side[0]}'
    if key not in arrays or pose.shape[1] > 45:
        raise ValueError(
            f'hand poses have {pose.shape[1]} PCA coefficients, but the body '
            f'model has no {key}'
        )
    return pose @ arrays[key][: pose.shape[1]]
