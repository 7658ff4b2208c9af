# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Find, read and check the files of SMPL-X-format body models.

The official files cannot be redistributed; users provide them. They are
untrusted (:mod:`aios.utils.safe_io`): no code from a file is executed, and
chumpy is not needed.

Legend: ``V`` = 10475 vertices, ``F`` faces, ``J`` = 55 joints.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from aios.utils.choices import check_choice
from aios.utils.safe_io import load_npy, load_npz, load_pickle

from .free_body import expand_free_body

GENDERS = ('neutral', 'male', 'female')
BODY_MODELS_ENV = 'AIOS_BODY_MODELS'
"""Environment variable with the folder of the body-model files."""

_DATA_ENV = 'AIOS_DATA'
_OFFICIAL_SITE = 'https://smpl-x.is.tue.mpg.de'
_MAX_BYTES = 4 << 30  # official files unpack to a few hundred MB
_NUM_VERTICES, _NUM_JOINTS = 10475, 55

# Shapes of the arrays the layer needs; a name stands for any size.
_FIELDS: dict[str, tuple[int | str, ...]] = {
    'v_template': (_NUM_VERTICES, 3),
    'f': ('F', 3),
    'shapedirs': (_NUM_VERTICES, 3, 'coefficients'),
    'posedirs': (_NUM_VERTICES, 3, 9 * (_NUM_JOINTS - 1)),
    'J_regressor': (_NUM_JOINTS, _NUM_VERTICES),
    'weights': (_NUM_VERTICES, _NUM_JOINTS),
    'kintree_table': (2, _NUM_JOINTS),
    'hands_meanl': (45,),
    'hands_meanr': (45,),
    'lmk_faces_idx': (51,),
    'lmk_bary_coords': (51, 3),
    'dynamic_lmk_faces_idx': (79, 17),
    'dynamic_lmk_bary_coords': (79, 17, 3),
}
_OPTIONAL_FIELDS: dict[str, tuple[int | str, ...]] = {
    'hands_componentsl': (45, 45),
    'hands_componentsr': (45, 45),
}
_NUM_HAND_VERTICES, _NUM_FACE_VERTICES = 778, 5023


class MissingBodyModelError(FileNotFoundError):
    """A body-model file is missing; the message says where to get it."""


class BodyModelFileError(ValueError):
    """The content of a body-model file is invalid."""


def default_body_model_dir() -> Path:
    """``$AIOS_BODY_MODELS``, else ``body_models`` in the data folder."""
    data = os.environ.get(_DATA_ENV) or 'data'
    return Path(os.environ.get(BODY_MODELS_ENV) or Path(data, 'body_models'))


def find_body_model(
    model_path: str | os.PathLike | None = None, gender: str = 'neutral'
) -> Path:
    """Path of the model file for one gender.

    Args:
        model_path: A file; a folder that contains ``SMPLX_NEUTRAL.npz`` (or
            ``.pkl``) itself or in a sub-folder ``smplx``; ``'free'`` for
            the free body, which is expanded into the user's cache when
            needed; ``None`` for ``$AIOS_BODY_MODELS`` or, if that is not
            set, ``$AIOS_DATA/body_models`` or ``data/body_models``.
        gender: ``'neutral'``, ``'male'`` or ``'female'``. Ignored when
            ``model_path`` is a file and the gender neutral.

    Returns:
        The file, ``.npz`` preferred.

    Raises:
        ValueError: Unknown gender.
        MissingBodyModelError: No such file, or it is of another gender.
    """
    check_choice('gender', gender, GENDERS)
    refuse_other_gender(model_path, gender)
    if model_path == 'free':
        model_path = expand_free_body(genders=(gender,))
    stem = f'SMPLX_{gender.upper()}'
    return find_file(model_path, (f'{stem}.npz', f'{stem}.pkl'))


def refuse_other_gender(
    model_path: str | os.PathLike | None, gender: str
) -> None:
    """Reject the file of a gender for persons of another one.

    Args:
        model_path: See :func:`find_body_model`.
        gender: Of the persons; neutral, the default, is not compared.

    Raises:
        MissingBodyModelError: The file is named after another gender.
    """
    known = _gender_in_name(Path(model_path or ''))
    if known is not None and gender not in ('neutral', known):
        raise MissingBodyModelError(
            f'{model_path} is the {known} body model, but a {gender} one '
            'is needed; name the folder that holds both'
        )


def _gender_in_name(path: Path) -> str | None:
    """Gender of ``SMPLX_MALE_2020.npz`` or ``basicmodel_m_lbs_...pkl``."""
    first, *words = path.stem.lower().split('_')
    if first == 'basicmodel':
        words = [{'m': 'male', 'f': 'female'}.get(w, w) for w in words]
    return next((word for word in words if word in GENDERS), None)


def load_body_model_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Read and check the arrays of an SMPL-X-format model file.

    Args:
        path: ``SMPLX_*.npz`` or ``SMPLX_*.pkl``; see
            :func:`find_body_model`.

    Returns:
        Plain arrays by their names in the file: ``v_template`` (V, 3),
        ``f`` (F, 3), ``shapedirs`` (V, 3, S), ``posedirs`` (V, 3, 486),
        ``J_regressor`` (J, V), ``weights`` (V, J), ``kintree_table``
        (2, J), ``hands_mean{l,r}`` (45,), ``lmk_*`` (51 landmarks) and
        ``dynamic_lmk_*`` (79 yaw angles x 17 contour points), and
        ``hands_components{l,r}`` (45, 45) where the file has them. Lengths
        in meters, rotations in radians.

    Raises:
        FileNotFoundError: No such file.
        UnsafeFileError: The file would execute code.
        CorruptFileError: The file is damaged.
        BodyModelFileError: An array is missing or not as described above.
    """
    raw = read_model_file(path, keys=[*_FIELDS, *_OPTIONAL_FIELDS])
    arrays, _ = to_plain_arrays(raw)
    check_body_model_arrays(arrays, path)
    return arrays


def check_body_model_arrays(
    arrays: Mapping[str, np.ndarray], path: str | os.PathLike
) -> None:
    """Reject arrays that are not an SMPL-X model.

    Args:
        arrays: As :func:`load_body_model_arrays` returns them.
        path: Name of the file for messages.

    Raises:
        BodyModelFileError: An array is missing, has another shape, is not
            finite, has indices out of range, or breaks the order of the
            joints.
    """
    check_fields(
        arrays,
        _FIELDS,
        path,
        'SMPL-X',
        '. (SMPL and SMPL-H files do not fit.)',
    )
    optional = {k: v for k, v in _OPTIONAL_FIELDS.items() if k in arrays}
    check_fields(arrays, optional, path, 'SMPL-X')
    _check_references(arrays, path)


def read_model_file(
    path: str | os.PathLike, keys: Iterable[str] | None = None
) -> dict[str, Any]:
    """Raw content of an ``.npz`` file, or of a ``.pkl`` file with a dict.

    Args:
        path: The file.
        keys: Read only these entries.

    Returns:
        Values by name, see :func:`aios.utils.safe_io.load_npz` and
        :func:`~aios.utils.safe_io.load_pickle`.

    Raises:
        BodyModelFileError: Neither ``.npz`` nor ``.pkl``, or a pickle
            that holds no dict.
    """
    path = Path(path)
    if path.suffix == '.npz':
        return dict(
            load_npz(path, keys, allow_objects=True, max_bytes=_MAX_BYTES)
        )
    if path.suffix != '.pkl':
        raise BodyModelFileError(
            f'{path}: body models are .npz or .pkl files, got '
            f'{path.suffix or "no suffix"}'
        )
    content = load_pickle(path)
    if not isinstance(content, dict):
        raise BodyModelFileError(
            f'{path}: holds a {type(content).__name__}, expected a dict of '
            'arrays'
        )
    if keys is None:
        return content
    return {key: content[key] for key in keys if key in content}


def to_plain_arrays(
    raw: Mapping[str, Any],
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Split the content of a model file into plain arrays and the rest.

    Args:
        raw: Content of :func:`read_model_file`. Sparse matrices become
            dense, and the byte order that of the machine.

    Returns:
        Arrays by name, and for each entry that is not an array the reason
        why it was left out.
    """
    arrays: dict[str, np.ndarray] = {}
    dropped: dict[str, str] = {}
    for key, value in raw.items():
        if hasattr(value, 'toarray'):
            if value.shape[0] * value.shape[1] * 8 > _MAX_BYTES:
                dropped[str(key)] = f'sparse matrix of shape {value.shape}'
                continue
            value = value.toarray()
        elif not isinstance(value, (np.ndarray, np.generic, str, int, float)):
            dropped[str(key)] = type(value).__name__
            continue
        array = np.asarray(value)
        if array.dtype.hasobject:
            dropped[str(key)] = f'{array.dtype} array'
        else:
            native = array.dtype.newbyteorder('=')
            arrays[str(key)] = array.astype(native, copy=False)
    return arrays, dropped


def load_vertex_ids(
    model_path: str | os.PathLike | None = None,
) -> dict[str, np.ndarray]:
    """Vertices of SMPL-X that belong to the hands and to the face.

    They are read from ``MANO_SMPLX_vertex_ids.pkl`` and
    ``SMPL-X__FLAME_vertex_ids.npy`` (downloads of the SMPL-X site, used by
    the hand and face errors of the benchmarks).

    Args:
        model_path: As for :func:`find_body_model`; for a file its folder
            is searched.

    Returns:
        ``left_hand`` (778,), ``right_hand`` (778,) and ``face`` (5023,),
        int64.

    Raises:
        MissingBodyModelError: A file is missing.
        BodyModelFileError: A file does not contain distinct vertex ids.
    """
    root = model_folder(model_path)
    hand_file = find_file(root, ('MANO_SMPLX_vertex_ids.pkl',))
    face_file = find_file(root, ('SMPL-X__FLAME_vertex_ids.npy',))
    hands = load_pickle(hand_file)
    if not isinstance(hands, dict) or not {'left_hand', 'right_hand'} <= set(
        hands
    ):
        raise BodyModelFileError(
            f"{hand_file}: expected a dict with 'left_hand' and 'right_hand'"
        )
    found = {
        side: _vertex_ids(
            hands[side], _NUM_HAND_VERTICES, f'{hand_file}[{side}]'
        )
        for side in ('left_hand', 'right_hand')
    }
    face = load_npy(face_file)
    return found | {
        'face': _vertex_ids(face, _NUM_FACE_VERTICES, str(face_file))
    }


def load_j14_regressor(
    model_path: str | os.PathLike | None = None,
) -> np.ndarray:
    """Regressor from SMPL-X vertices to the 14 LSP joints.

    It is read from ``SMPLX_to_J14.pkl`` and used for PA-MPJPE of the body.

    Args:
        model_path: As for :func:`load_vertex_ids`.

    Returns:
        ``(14, V)`` float32; ``regressor @ vertices`` gives the joints.

    Raises:
        MissingBodyModelError: The file is missing.
        BodyModelFileError: The file contains something else.
    """
    path = find_file(model_folder(model_path), ('SMPLX_to_J14.pkl',))
    arrays, _ = to_plain_arrays({'regressor': load_pickle(path)})
    regressor = arrays.get('regressor', np.zeros(0))
    check_array(regressor, (14, _NUM_VERTICES), str(path))
    return regressor.astype(np.float32)


def model_folder(model_path: str | os.PathLike | None) -> Path:
    """Folder of the files beside a body model.

    Args:
        model_path: See :func:`find_body_model`.
    """
    if model_path == 'free':
        return expand_free_body(genders=('neutral',))
    if model_path is None:
        return default_body_model_dir()
    path = Path(model_path).expanduser()
    return path.parent if path.is_file() else path


def find_file(
    model_path: str | os.PathLike | None,
    names: tuple[str, ...],
    folder: str = 'smplx',
    advice: str = f'Register at {_OFFICIAL_SITE} to download it',
) -> Path:
    """The first of several files that exists.

    Args:
        model_path: A file, which is returned; a folder; None for
            :func:`default_body_model_dir`.
        names: Names of the file in order of preference.
        folder: Sub-folder that is searched before the folder itself.
        advice: Where to get the file, for the message.

    Raises:
        MissingBodyModelError: None exists; the message lists the searched
            paths.
    """
    if model_path is None:
        model_path = model_folder(None)
    path = Path(model_path).expanduser()
    if path.is_file():
        return path
    candidates = [
        parent / name for parent in (path / folder, path) for name in names
    ]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    if path.suffix in ('.npz', '.pkl'):
        candidates = [path]
    free = (
        " Free alternative without registration: model_path='free' (a CC0 "
        'stand-in of the same format; it is not SMPL-X, numbers measured on '
        'it are not comparable).'
    )
    raise MissingBodyModelError(
        f'{names[0]} not found. Searched '
        f'{", ".join(str(candidate) for candidate in candidates)}. '
        f'{advice}, and put it there or set {BODY_MODELS_ENV} to its folder.'
        + (free if folder == 'smplx' else '')
    )


def check_fields(
    arrays: Mapping[str, np.ndarray],
    fields: Mapping[str, tuple[int | str, ...]],
    path: str | os.PathLike,
    model: str,
    advice: str = '',
) -> None:
    """Reject arrays that are not those of a model file.

    Args:
        arrays: By name.
        fields: Expected shapes, see :func:`check_array`.
        path: Name of the file for messages.
        model: Name of the model for messages.
        advice: End of the message if an array is missing.

    Raises:
        BodyModelFileError: An array is missing or not as expected.
    """
    missing = [name for name in fields if name not in arrays]
    if missing:
        raise BodyModelFileError(
            f'{path}: not an {model} model file, it lacks '
            f'{", ".join(missing)}{advice}'
        )
    for name, shape in fields.items():
        check_array(arrays[name], shape, f'{path}[{name}]')


def check_array(
    array: np.ndarray, shape: tuple[int | str, ...], where: str
) -> None:
    """Reject an array of wrong shape or content.

    Args:
        array: The array.
        shape: Expected shape; a name stands for any size.
        where: File and field, for messages.

    Raises:
        BodyModelFileError: Another shape, not numeric, or not finite.
    """
    expected = ', '.join(str(size) for size in shape)
    fits = array.ndim == len(shape) and all(
        isinstance(size, str) or size == actual
        for size, actual in zip(shape, array.shape, strict=True)
    )
    if not fits:
        raise BodyModelFileError(
            f'{where}: expected shape ({expected}), got {array.shape}'
        )
    if array.dtype.kind not in 'iuf':
        raise BodyModelFileError(
            f'{where}: expected numbers, got dtype {array.dtype}'
        )
    if array.dtype.kind == 'f' and not np.isfinite(array).all():
        raise BodyModelFileError(f'{where}: holds NaN or infinite numbers')


def _check_references(
    arrays: Mapping[str, np.ndarray], path: str | os.PathLike
) -> None:
    """Check ranges of indices, order of joints and sums of weights."""
    limits = {
        'f': len(arrays['v_template']),
        'lmk_faces_idx': len(arrays['f']),
        'dynamic_lmk_faces_idx': len(arrays['f']),
    }
    for name, limit in limits.items():
        index = arrays[name]
        if index.size and not 0 <= index.min() <= index.max() < limit:
            raise BodyModelFileError(
                f'{path}[{name}]: indices must be in 0..{limit - 1}, got '
                f'{index.min()}..{index.max()}'
            )
    parents = arrays['kintree_table'][0, 1:].astype(np.int64)
    late = np.flatnonzero((parents < 0) | (parents > np.arange(len(parents))))
    if late.size:
        raise BodyModelFileError(
            f'{path}[kintree_table]: joint {late[0] + 1} has the parent '
            f'{parents[late[0]]}; parents must come before their children'
        )
    error = np.abs(arrays['weights'].sum(axis=1, dtype=np.float64) - 1)
    if error.max() > 1e-3:
        raise BodyModelFileError(
            f'{path}[weights]: row {error.argmax()} must sum to 1, it is off '
            f'by {error.max():.3g}'
        )


def _vertex_ids(value: Any, count: int, where: str) -> np.ndarray:
    ids = np.asarray(value)
    fits = ids.shape == (count,) and ids.dtype.kind in 'iu'
    if not fits or np.unique(ids).size != count:
        raise BodyModelFileError(
            f'{where}: expected {count} distinct vertex ids, got '
            f'{ids.dtype} {ids.shape}'
        )
    if ids.min() < 0 or ids.max() >= _NUM_VERTICES:
        raise BodyModelFileError(
            f'{where}: ids must be in 0..{_NUM_VERTICES - 1}, got '
            f'{ids.min()}..{ids.max()}'
        )
    return ids.astype(np.int64)
