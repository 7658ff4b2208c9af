# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Schema of HumanData files: keys, types and shapes.

The checks are vectorized over rows and take milliseconds for a hundred
thousand persons.

Symbols: ``N`` rows (persons), ``J`` joints.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from aios.structures import JOINT_SETS, JointSet
from aios.utils.safe_io import leaves_folder

from .faults import Fault, HumanDataError

BOX_KEYS = (
    'bbox_xywh',
    'face_bbox_xywh',
    'lhand_bbox_xywh',
    'rhand_bbox_xywh',
)
BODY_MODELS = ('smplx', 'smpl', 'smplh')
GENDERS = ('neutral', 'male', 'female')

_CONVENTION_ALIASES = {'smplx': 'smplx_144'}
_KEYPOINT_KEY = re.compile(
    r'keypoints([23])d(_(original|smplx|smplh|smpl|ori|gta|ubody|cam))?'
)
# Numbers per row, of the arrays of a body-model dictionary and of ``meta``.
_POSE_SIZES: Mapping[str, tuple[int, ...]] = {
    'global_orient': (3,),
    'transl': (3,),
    'left_hand_pose': (45,),
    'right_hand_pose': (45,),
    'jaw_pose': (3,),
    'leye_pose': (3,),
    'reye_pose': (3,),
}
_BODY_POSE_SIZES = {'smplx': (63,), 'smplh': (63,), 'smpl': (69, 63)}
_META_SIZES: Mapping[str, tuple[int, ...]] = {
    'height': (1,),
    'width': (1,),
    'focal_length': (1, 2),
    'principal_point': (1, 2),
}
_FLAGS = (
    *('smplx_valid', 'is_kid', 'occ', 'iscrowd', 'num_keypoints'),
    *('valid_label', 'lefthand_valid', 'righthand_valid', 'face_valid'),
)
# Coefficient vectors of which the first ten are used.
_COEFFICIENTS = ('betas', 'betas_neutral', 'expression')
_ROW_KEYS = ('betas', 'global_orient', 'body_pose')


def is_keypoint_key(key: str) -> bool:
    """Whether a key names a keypoint array (not its mask or convention)."""
    return 'keypoints' in key and not key.endswith(
        ('_mask', '_convention', '__')
    )


def joint_set_of(items: Mapping[str, Any], key: str) -> JointSet:
    """Joint set of a keypoint array; default HumanData's own.

    Raises:
        HumanDataError: If the convention's name is unknown.
    """
    name = str(items.get(f'{key}_convention', 'human_data'))
    name = _CONVENTION_ALIASES.get(name, name)
    if name not in JOINT_SETS:
        allowed = ', '.join([*JOINT_SETS, *_CONVENTION_ALIASES])
        raise HumanDataError.of(
            'unknown_convention',
            f'{key}_convention',
            f'{name!r} is unknown; allowed are {allowed}',
        )
    return JOINT_SETS[name]


def path_codes(paths: Sequence[str]) -> np.ndarray:
    """``(N,)`` image numbers, in the order of first appearance."""
    seen: dict[str, int] = {}
    codes = (seen.setdefault(path, len(seen)) for path in paths)
    return np.fromiter(codes, np.int64, len(paths))


def row_count(items: Mapping[str, Any]) -> int:
    """Number of persons: the length of the first per-person value.

    Returns:
        The number; 0 if there is no such value.
    """
    values = [items.get(key) for key in ('image_path', *BOX_KEYS)]
    values += [value for key, value in items.items() if is_keypoint_key(key)]
    for model in BODY_MODELS:
        if isinstance(items.get(model), Mapping):
            values += [items[model].get(key) for key in _ROW_KEYS]
    lengths = (_length(value) for value in values)
    return next((n for n in lengths if n is not None), 0)


def find_faults(
    items: Mapping[str, Any], compressed: bool = False
) -> list[Fault]:
    """Check keys, types and shapes, but not values.

    Args:
        items: The content of a file.
        compressed: Whether keypoints are stored without the joints that
            their masks exclude.

    Returns:
        The faults; empty if there are none.  Unknown keys are allowed.
    """
    rows = row_count(items)
    return [
        *_check_names(items, rows),
        *_check_boxes(items, rows),
        *_check_keypoints(items, rows, compressed),
        *_check_bodies(items, rows),
        *_check_meta(items, rows),
        *_check_frame_range(items, rows),
    ]


def _length(value: Any) -> int | None:
    """Length of a list or an array; None for other values."""
    if isinstance(value, (list, tuple)):
        return len(value)
    if isinstance(value, np.ndarray) and value.ndim:
        return len(value)
    return None


def _check_names(items: Mapping[str, Any], rows: int) -> Iterator[Fault]:
    for key in ('image_path', 'image_id'):
        value = items.get(key)
        if value is None:
            continue
        if _length(value) is None:
            yield Fault('wrong_type', key, 'must be a list, one entry per row')
            continue
        if len(value) != rows:
            yield _wrong_length(key, len(value), rows)
        if key == 'image_path':
            yield from _check_paths(value)


def _check_paths(paths: Any) -> Iterator[Fault]:
    """Paths must be strings that stay inside the folder of the images."""
    texts = [isinstance(path, str) and path for path in paths]
    bad = [i for i, path in enumerate(texts) if not path]
    yield from _bad_paths('wrong_type', paths, bad, 'a non-empty string')
    bad = [i for i, path in enumerate(texts) if path and leaves_folder(path)]
    yield from _bad_paths(
        'outside', paths, bad, 'a relative path inside data_prefix'
    )


def _bad_paths(
    kind: str, paths: Any, bad: list[int], rule: str
) -> Iterator[Fault]:
    if bad:
        text = f'must be {rule}, got {paths[bad[0]]!r}'
        yield Fault(kind, 'image_path', text, bad[0], len(bad))


def _check_boxes(items: Mapping[str, Any], rows: int) -> Iterator[Fault]:
    for key in BOX_KEYS:
        if key in items:
            yield from _check_array(
                key, items[key], rows, ((5,), (4,)), 'x, y, w, h, confidence'
            )


def _check_keypoints(
    items: Mapping[str, Any], rows: int, compressed: bool
) -> Iterator[Fault]:
    for key, value in items.items():
        match = _KEYPOINT_KEY.fullmatch(key)
        if match is None:
            yield from _check_extra_mask(items, key, compressed)
            continue
        try:
            joints = len(joint_set_of(items, key))
        except HumanDataError as error:
            yield from error.faults
            continue
        mask = items.get(f'{key}_mask')
        if mask is not None:
            mask = np.asarray(mask)
            odd = np.extract(~np.isin(mask, (0, 1)), mask)
            if mask.shape != (joints,) or len(odd):
                found = odd[0] if len(odd) else f'shape {mask.shape}'
                yield Fault(
                    'wrong_mask',
                    f'{key}_mask',
                    f'must be ({joints},) zeros and ones, got {found}',
                )
                continue
            if compressed:
                joints = int(np.count_nonzero(mask))
        flat = match[1] == '2'
        widths = (3, 4) if flat else (4,)
        shapes = tuple((joints, width) for width in widths)
        columns = 'x, y, confidence' if flat else 'x, y, z, confidence'
        yield from _check_array(key, value, rows, shapes, columns)


def _check_extra_mask(
    items: Mapping[str, Any], key: str, compressed: bool
) -> Iterator[Fault]:
    """Check the mask of keypoints that the format does not define."""
    mask, value = items.get(f'{key}_mask'), items[key]
    if mask is None or np.ndim(mask) != 1:
        return
    if not is_keypoint_key(key) or np.ndim(value) < 2:
        return
    stored = np.count_nonzero(mask) if compressed else len(mask)
    found = len(value[0]) if len(value) else stored
    if stored != found:
        yield Fault(
            'wrong_mask',
            f'{key}_mask',
            f'announces {stored} stored joints, {key} has {found}',
        )


def _check_bodies(items: Mapping[str, Any], rows: int) -> Iterator[Fault]:
    for model in BODY_MODELS:
        params = items.get(model)
        if params is None:
            continue
        if not isinstance(params, Mapping):
            yield Fault(
                'wrong_type',
                model,
                f'must be a dictionary, got a {type(params).__name__}',
            )
            continue
        sizes = {**_POSE_SIZES, 'body_pose': _BODY_POSE_SIZES[model]}
        for name, value in params.items():
            if name in sizes:
                yield from _check_body_array(
                    f'{model}.{name}', value, rows, sizes[name], exact=True
                )
            elif name in _COEFFICIENTS:
                yield from _check_body_array(
                    f'{model}.{name}', value, rows, (10,), exact=False
                )


def _check_body_array(
    field: str, value: Any, rows: int, sizes: tuple[int, ...], exact: bool
) -> Iterator[Fault]:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in 'fiu':
        yield _not_numbers(field, value)
        return
    if _length(value) != rows:
        yield _wrong_length(field, _length(value), rows)
        return
    size = int(np.prod(value.shape[1:], dtype=np.int64))
    if size not in sizes if exact else size < sizes[0]:
        allowed = ' or '.join(str(s) for s in sizes)
        hint = ''
        if field.endswith('hand_pose'):
            hint = ' (axis-angle; PCA coefficients are not read)'
        yield Fault(
            'wrong_shape',
            field,
            f'must have {"" if exact else "at least "}{allowed} numbers per '
            f'row{hint}, got shape {value.shape}',
        )


def _check_meta(items: Mapping[str, Any], rows: int) -> Iterator[Fault]:
    for key in ('meta', 'misc'):
        if not isinstance(items.get(key, {}), Mapping):
            yield Fault('wrong_type', key, 'must be a dictionary')
            return
    meta = items.get('meta', {})
    for name in ('gender', *_META_SIZES, 'smplx_valid'):
        value = meta.get(name)
        if value is not None and _length(value) is None:
            yield Fault(
                'wrong_type',
                f'meta.{name}',
                f'must be a list, one entry per row, got {value!r}',
            )
        # An empty list means unknown, e.g. one size for all images.
        elif _length(value) not in (None, 0, rows):
            yield _wrong_length(f'meta.{name}', _length(value), rows)
        elif name in _META_SIZES and _length(value):
            yield from _check_meta_numbers(name, value, rows)
    for name in _FLAGS:
        value = np.asarray(meta.get(name))
        if not rows or value.shape[:1] != (rows,):
            continue  # is ignored
        if value.size != rows:
            yield Fault(
                'wrong_shape',
                f'meta.{name}',
                f'must have one number per row, got shape {value.shape}',
            )
        elif value.dtype.kind not in 'fiub':
            yield _not_numbers(f'meta.{name}', value)
    gender = meta.get('gender')
    if _length(gender):
        known = np.isin(np.asarray(gender, dtype=str), GENDERS)
        bad = np.flatnonzero(~known)
        if len(bad):
            yield Fault(
                'unknown_gender',
                'meta.gender',
                f'{gender[bad[0]]!r}; allowed are {", ".join(GENDERS)}',
                int(bad[0]),
                len(bad),
            )


def _check_meta_numbers(name: str, value: Any, rows: int) -> Iterator[Fault]:
    try:
        size = np.asarray(value, np.float64).size
    except (TypeError, ValueError):
        yield _not_numbers(f'meta.{name}', value)
        return
    sizes = _META_SIZES[name]
    if size not in [rows * count for count in sizes]:
        yield Fault(
            'wrong_shape',
            f'meta.{name}',
            f'must have {" or ".join(map(str, sizes))} numbers per row, got '
            f'shape {np.shape(value)}',
        )


def _check_frame_range(items: Mapping[str, Any], rows: int) -> Iterator[Fault]:
    if 'frame_range' not in items:
        return
    ranges = np.asarray(items['frame_range'])
    if (
        ranges.ndim != 2
        or ranges.shape[1] != 2
        or ranges.dtype.kind not in 'iu'
    ):
        yield Fault(
            'wrong_shape',
            'frame_range',
            f'must be integers of shape (images, 2), got {ranges.dtype} '
            f'{ranges.shape}',
        )
        return
    start, end = ranges.T.astype(np.int64)
    order = np.argsort(start, kind='stable')
    overlap = np.zeros(len(ranges), bool)
    overlap[order[1:]] = (
        start[order[1:]] < np.maximum.accumulate(end[order])[:-1]
    )
    bad = (
        (start < 0) | (end < start) | (end > rows) | (overlap & (end > start))
    )
    if bad.any():
        i = int(np.flatnonzero(bad)[0])
        yield Fault(
            'wrong_frame_range',
            'frame_range',
            f'[{start[i]}, {end[i]}) must lie in [0, {rows}) and overlap no '
            'other range',
            i,
            int(bad.sum()),
        )
        return
    yield from _check_one_image_per_range(items, start, end)


def _check_one_image_per_range(
    items: Mapping[str, Any], start: np.ndarray, end: np.ndarray
) -> Iterator[Fault]:
    paths = items.get('image_path')
    if paths is None or (_length(paths) or 0) < end.max(initial=0):
        return
    code = path_codes(paths)
    counts = end - start
    first = np.repeat(start, counts)
    rows = first + np.arange(len(first))
    rows -= np.repeat(np.cumsum(counts) - counts, counts)
    bad = np.flatnonzero(code[rows] != code[first])
    if len(bad):
        row = int(rows[bad[0]])
        yield Fault(
            'wrong_frame_range',
            'image_path',
            f'{str(paths[row])!r} is in the range of image '
            f'{str(paths[first[bad[0]]])!r}; a range must hold one image',
            row,
            len(bad),
        )


def _check_array(
    field: str,
    value: Any,
    rows: int,
    shapes: tuple[tuple[int, ...], ...],
    columns: str,
) -> Iterator[Fault]:
    if not isinstance(value, np.ndarray) or value.dtype.kind not in 'fiub':
        yield _not_numbers(field, value)
    elif value.shape[1:] not in shapes:
        allowed = ' or '.join(str((rows, *shape)) for shape in shapes)
        yield Fault(
            'wrong_shape',
            field,
            f'must have shape {allowed} ({columns}), got {value.shape}',
        )
    elif len(value) != rows:
        yield _wrong_length(field, len(value), rows)


def _not_numbers(field: str, value: Any) -> Fault:
    if isinstance(value, np.ndarray):
        found = f'an array of {value.dtype}'
    else:
        found = f'a {type(value).__name__}'
    return Fault(
        'wrong_type', field, f'must be an array of numbers, got {found}'
    )


def _wrong_length(field: str, found: Any, rows: int) -> Fault:
    return Fault('wrong_length', field, f'must have {rows} rows, got {found}')
