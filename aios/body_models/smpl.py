# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""SMPL bodies, for SMPL ground truth (3DPW, EMDB).

Written from the SMPL paper (Loper et al. 2015) and the layout of the model
files, which users provide.

Legend: ``B`` persons, ``V`` = 6890 vertices, ``J`` = 24 joints.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from aios.registry import MODELS
from aios.structures import axis_angle_to_matrix
from aios.utils.choices import check_choice
from aios.utils.safe_io import load_npy

from .base import SMPLXOutput
from .files import (
    GENDERS,
    BodyModelFileError,
    check_array,
    check_fields,
    find_file,
    model_folder,
    read_model_file,
    refuse_other_gender,
    to_plain_arrays,
)
from .skinning import Skeleton, SkinnedVertices

SMPL_FEET: Mapping[str, int] = {
    'left_bigtoe': 3216,
    'left_heel': 3387,
    'right_bigtoe': 6617,
    'right_heel': 6787,
}
"""Vertices of the feet, by the names of the corresponding SMPL-X joints."""

_NUM_VERTICES, _NUM_JOINTS, _NUM_SMPLX = 6890, 24, 10475
_SMPL_ADVICE = 'Register at https://smpl.is.tue.mpg.de to download it'
_TRANSFER_ADVICE = (
    'Register at https://smpl-x.is.tue.mpg.de to download it '
    '(model_transfer.zip)'
)
_H36M_ADVICE = (
    "It is part of SPIN's data (https://github.com/nkolot/SPIN, fetch_data.sh)"
)
_FIELDS: dict[str, tuple[int | str, ...]] = {
    'v_template': (_NUM_VERTICES, 3),
    'f': ('F', 3),
    'shapedirs': (_NUM_VERTICES, 3, 'coefficients'),
    'posedirs': (_NUM_VERTICES, 3, 9 * (_NUM_JOINTS - 1)),
    'J_regressor': (_NUM_JOINTS, _NUM_VERTICES),
    'weights': (_NUM_VERTICES, _NUM_JOINTS),
    'kintree_table': (2, _NUM_JOINTS),
}
# File names of the official downloads.
_OFFICIAL_NAMES = {
    'neutral': 'basic{}odel_neutral_lbs_10_207_0_v1.{}.0.pkl',
    'male': 'basic{}odel_m_lbs_10_207_0_v1.{}.0.pkl',
    'female': 'basic{}odel_f_lbs_10_207_0_v1.{}.0.pkl',
}


def find_smpl(
    model_path: str | os.PathLike | None = None, gender: str = 'neutral'
) -> Path:
    """Path of the SMPL file for one gender.

    Args:
        model_path: A file; a folder that contains ``SMPL_NEUTRAL.npz`` (or
            ``.pkl``, or a file with its official name) itself or in a
            sub-folder ``smpl``; ``None`` as for
            :func:`~aios.body_models.find_body_model`.
        gender: ``'neutral'``, ``'male'`` or ``'female'``.

    Raises:
        ValueError: Unknown gender.
        MissingBodyModelError: No such file, or it is of another gender.
    """
    check_choice('gender', gender, GENDERS)
    refuse_other_gender(model_path, gender)
    stem = f'SMPL_{gender.upper()}'
    official = (
        _OFFICIAL_NAMES[gender].format(letter, version)
        for letter, version in (('m', 1), ('M', 0), ('m', 0))
    )
    names = (f'{stem}.npz', f'{stem}.pkl', *official)
    return find_file(model_path, names, 'smpl', _SMPL_ADVICE)


def load_smpl_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read and check the arrays of an SMPL model file.

    Args:
        path: See :func:`find_smpl`.

    Returns:
        ``v_template`` (V, 3), ``f`` (F, 3), ``shapedirs`` (V, 3, S),
        ``posedirs`` (V, 3, 207), ``J_regressor`` (J, V), ``weights``
        (V, J), ``kintree_table`` (2, J).

    Raises:
        UnsafeFileError: The file would execute code.
        CorruptFileError: The file is damaged.
        BodyModelFileError: An array is missing or has another shape.
    """
    arrays, _ = to_plain_arrays(read_model_file(path, keys=_FIELDS))
    check_fields(arrays, _FIELDS, path, 'SMPL')
    return arrays


def load_smplx_to_smpl(
    model_path: str | os.PathLike | None = None,
) -> sparse.csr_matrix:
    """Matrix that maps SMPL-X vertices to SMPL vertices.

    Args:
        model_path: Folder with ``smplx2smpl_deftrafo_setup.pkl`` (of
            ``model_transfer.zip`` on the SMPL-X site; its ``mtx`` has twice
            the columns, of which the second half, for normals, is not used)
            or ``smplx2smpl.pkl`` (a dictionary with ``matrix``); for a file
            its folder is searched.

    Returns:
        ``(6890, 10475)`` float64, rows sum to 1.

    Raises:
        MissingBodyModelError: The file is missing.
        BodyModelFileError: The file contains something else.
    """
    names = ('smplx2smpl_deftrafo_setup.pkl', 'smplx2smpl.pkl')
    path = find_file(
        model_folder(model_path), names, 'smplx', _TRANSFER_ADVICE
    )
    values = [*read_model_file(path, ('mtx', 'matrix')).values()]
    if len(values) != 1:
        raise BodyModelFileError(
            f"{path}: expected a dict with 'mtx' or 'matrix'"
        )
    try:
        matrix = sparse.csr_matrix(values[0], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise BodyModelFileError(f'{path}: no matrix ({error})') from error
    if matrix.shape == (_NUM_VERTICES, 2 * _NUM_SMPLX):
        matrix = matrix[:, :_NUM_SMPLX]
    if matrix.shape != (_NUM_VERTICES, _NUM_SMPLX):
        raise BodyModelFileError(
            f'{path}: expected shape ({_NUM_VERTICES}, {_NUM_SMPLX}), got '
            f'{matrix.shape}'
        )
    off = np.abs(np.asarray(matrix.sum(axis=1)).ravel() - 1)
    if not off.max() <= 1e-3:  # also if it is NaN
        raise BodyModelFileError(
            f'{path}: row {off.argmax()} must sum to 1, it is off by '
            f'{off.max():.3g}'
        )
    return matrix


def load_h36m_regressor(
    model_path: str | os.PathLike | None = None,
) -> np.ndarray:
    """Regressor from SMPL vertices to the 17 joints of Human3.6M.

    Args:
        model_path: Folder with ``J_regressor_h36m.npy`` (itself or in
            ``smpl``); for a file its folder is searched.

    Returns:
        ``(17, 6890)`` float64; row 0 is the pelvis.

    Raises:
        MissingBodyModelError: The file is missing.
        BodyModelFileError: The file contains something else.
    """
    names = ('J_regressor_h36m.npy',)
    path = find_file(model_folder(model_path), names, 'smpl', _H36M_ADVICE)
    regressor = np.asarray(load_npy(path))
    check_array(regressor, (17, _NUM_VERTICES), str(path))
    return regressor.astype(np.float64)


@MODELS.register_module()
class SMPLLayer(nn.Module):
    """SMPL: parameters in, joints and vertices out.

    The model data are non-persistent buffers, as in
    :class:`~aios.body_models.SMPLXLayer`.

    Args:
        model_path: See :func:`find_smpl`.
        gender: ``'neutral'``, ``'male'`` or ``'female'``.
        num_betas: Number of shape coefficients.
        dtype: ``torch.float32`` or ``torch.float64``.

    Raises:
        MissingBodyModelError: No model file.
        BodyModelFileError: The file is not an SMPL model, or has fewer shape
            directions.
    """

    def __init__(
        self,
        model_path: str | os.PathLike | None = None,
        gender: str = 'neutral',
        num_betas: int = 10,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        path = find_smpl(model_path, gender)
        arrays = load_smpl_arrays(path)
        directions = arrays['shapedirs'][:, :, :num_betas]
        if directions.shape[2] < num_betas:
            raise BodyModelFileError(
                f'{path}[shapedirs]: num_betas is {num_betas}, the file has '
                f'{directions.shape[2]} shape directions'
            )
        self.num_betas = num_betas
        self.skeleton = Skeleton(arrays, directions, dtype)
        self.mesh = SkinnedVertices(
            arrays['v_template'],
            directions,
            arrays['posedirs'],
            arrays['weights'],
            dtype,
        )

    @property
    def v_template(self) -> Tensor:
        """Rest shape ``(V, 3)``, meters."""
        return self.mesh.template

    def forward(
        self,
        betas: Tensor,
        global_orient: Tensor,
        body_pose: Tensor,
        transl: Tensor | None = None,
    ) -> SMPLXOutput:
        """Pose bodies.

        Args:
            betas: ``(B, num_betas)``.
            global_orient: ``(B, 3)`` axis-angle, about the pelvis.
            body_pose: ``(B, 69)`` axis-angle.
            transl: ``(B, 3)`` meters, added at the end.

        Returns:
            Vertices ``(B, V, 3)`` and the joints ``(B, J, 3)`` of the
            skeleton, meters; the first 22 are those of SMPL-X.
        """
        pose = torch.cat((global_orient, body_pose), dim=1)
        local = axis_angle_to_matrix(pose.unflatten(1, (_NUM_JOINTS, 3)))
        _, joints, feature, transforms = self.skeleton(betas, local)
        vertices = self.mesh(betas, feature, transforms)
        if transl is not None:
            vertices = vertices + transl[:, None]
            joints = joints + transl[:, None]
        return SMPLXOutput(vertices, joints, 'smpl_24')
