# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Conversion of a HumanData file to the label arrays of training.

Work that is the same in every epoch is done here once and vectorized:
choosing keypoints, sanitizing boxes, dropping broken rows by named rules,
converting hand poses to one convention.

Symbols: ``N`` rows of the file, ``P`` persons kept, ``M`` images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from aios.structures import PARTS, sanitize_xywh

from .faults import Fault, HumanDataError
from .human_data import HumanData
from .image_sizes import are_image_sizes
from .joint_labels import keypoints2d, keypoints3d
from .label_extras import (
    crowd_columns,
    image_cameras,
    person_cameras,
    smpl_columns,
)
from .label_options import (
    DROP_RULES,
    KEYPOINTS_2D,
    KEYPOINTS_3D,
    DropCount,
    LabelOptions,
)
from .person_rules import (
    apply_person_rules,
    crowds,
    duplicate_boxes,
    optional_drops,
)
from .schema import BODY_MODELS, GENDERS
from .supervision import clear_unlabeled

_HAND_KEYS = {'lhand': 'left_hand_pose', 'rhand': 'right_hand_pose'}
_META_VALID = {
    'lhand': 'lefthand_valid',
    'rhand': 'righthand_valid',
    'face': 'face_valid',
}
_FINITE = {
    'non_finite_keypoints2d': ('keypoints',),
    'non_finite_keypoints3d': ('keypoints3d',),
    'non_finite_body_model': (
        *('smplx_pose', 'smplx_betas', 'smplx_expression', 'smplx_transl'),
        *('smpl_pose', 'smpl_betas', 'extrinsics'),
    ),
}


@dataclass(frozen=True)
class LabelBlock:
    """A block of complete images of a file.

    Args:
        rows: ``(P,)`` rows of the file, image by image.
        counts: ``(M,)`` rows of each image.
        sizes: ``(P, 2)`` height and width of each row's image.
        path_dtype: Dtype of ``image_path``, the same for all blocks.
        with_cameras: Whether each person has its own camera.
    """

    rows: np.ndarray
    counts: np.ndarray
    sizes: np.ndarray
    path_dtype: np.dtype
    with_cameras: bool


def block_labels(
    data: HumanData,
    options: LabelOptions,
    keys: tuple[str, str | None],
    block: LabelBlock,
) -> tuple[dict[str, np.ndarray], list[DropCount]]:
    """Label arrays of a block of images.

    Args:
        data: The file.
        options: Options of the labels.
        keys: Names of the 2-D and 3-D keypoints.
        block: The images.

    Returns:
        Columns of :func:`~aios.datasets.label_blocks.label_blocks`, where
        ``image_index``, ``image_rows`` and ``image_ignored`` are relative to
        the block; and counts of dropped persons.
    """
    rows, sizes = block.rows, block.sizes
    image = np.repeat(np.arange(len(block.counts)), block.counts)
    paths = _image_paths(data, rows, block.path_dtype)

    columns = {'row': rows}
    columns |= _boxes(data, rows, sizes, options)
    swap = options.legacy_eye_swap
    columns['keypoints'] = keypoints2d(data, keys[0], rows, swap)
    if keys[1] is not None:
        columns['keypoints3d'] = keypoints3d(data, keys[1], rows, swap)
    columns |= _body(data, rows, options)
    columns |= _part_flags(data, rows, columns, options)
    if options.read_vertices and 'vertices' in data:
        columns['vertices'] = data['vertices'][rows].astype(np.float32)
    if options.read_smpl:
        columns |= smpl_columns(data, rows)
    apply_person_rules(
        columns,
        {name: _meta_values(data, name, rows) for name in ('occ', 'is_kid')},
        options,
    )
    clear_unlabeled(columns, body_model_of(data))

    keep, dropped = _drop_rows(columns, paths, data, options)
    is_crowd = np.zeros(len(rows), bool)
    if options.ignore_crowds:
        is_crowd = crowds(_meta_values(data, 'iscrowd', rows), len(rows))
        is_crowd &= columns['bbox_valid']
    kept_images, image_rows = index_images(
        image[keep], len(block.counts), image[is_crowd]
    )
    cameras = person_cameras(data, rows[keep], sizes[keep])
    ignored = {}
    if options.ignore_crowds:
        ignored = crowd_columns(
            is_crowd, image, columns['bboxes'], kept_images
        )
    first = np.searchsorted(image, kept_images)
    columns = {name: value[keep] for name, value in columns.items()} | ignored
    columns.pop('bbox_valid')
    if block.with_cameras:
        columns['cameras'] = cameras.astype(np.float32)
    columns |= {
        'image_path': paths[first],
        'image_index': kept_images,
        'image_size': sizes[first],
        'image_rows': image_rows,
        'image_camera': image_cameras(cameras, image_rows),
    }
    return columns, dropped


def hand_poses_are_flat(data: HumanData) -> bool | None:
    """Read ``flat_hand_mean``, the convention of a file's hand poses.

    Returns:
        True if they are absolute rotations, False if they are relative to
        the mean hand, None if the file has no ``flat_hand_mean``.

    Raises:
        HumanDataError: If the file contradicts itself.
    """
    misc, params = data.get('misc', {}), data.get('smplx', {})
    values = {
        bool(value)
        for source in (misc, params)
        if 'flat_hand_mean' in source
        for value in np.ravel(source['flat_hand_mean'])
    }
    if len(values) > 1:
        raise HumanDataError.of(
            'wrong_type',
            'flat_hand_mean',
            'is both true and false; set the option flat_hand_mean',
        )
    return next(iter(values), None)


def _require(data: HumanData, *keys: str) -> None:
    faults = [
        Fault('missing_key', key, 'is needed but absent')
        for key in keys
        if key not in data
    ]
    if faults:
        raise HumanDataError(faults)


def _image_paths(
    data: HumanData, rows: np.ndarray, dtype: np.dtype
) -> np.ndarray:
    """``(P,)`` paths; backslashes of Windows become slashes."""
    paths = data['image_path']
    names = [paths[row].replace('\\', '/') for row in rows.tolist()]
    return np.array(names, dtype)


def choose_keypoints(
    data: HumanData, options: LabelOptions
) -> tuple[str, str | None]:
    """Names of the 2-D and 3-D keypoints to use.

    Raises:
        HumanDataError: If a required key is missing.
    """
    _require(data, 'image_path', 'bbox_xywh')
    kps2d, kps3d = options.kps2d_key, options.kps3d_key
    _require(data, *(key for key in (kps2d, kps3d) if key is not None))
    if kps2d is None:
        kps2d = next((key for key in KEYPOINTS_2D if key in data), None)
    if kps2d is None:
        allowed = ', '.join(KEYPOINTS_2D)
        raise HumanDataError.of(
            'missing_key', 'keypoints2d', f'need one of {allowed}'
        )
    if kps3d is None:
        kps3d = next((key for key in KEYPOINTS_3D if key in data), None)
    return kps2d, None if options.has_3d is False else kps3d


def image_sizes(
    data: HumanData, rows: np.ndarray, image_size: tuple[int, int] | None
) -> np.ndarray:
    """``(P, 2)`` height and width of each row's image.

    Raises:
        HumanDataError: If one is unknown.
    """
    meta = data.get('meta', {})
    # None is unknown, NaN as a number.
    height, width = (
        np.asarray(meta.get(key, ()), np.float64).reshape(-1)
        for key in ('height', 'width')
    )
    if (height.size and width.size) or not len(rows):
        sizes = np.stack((height[rows], width[rows]), axis=1)
    elif image_size is not None:
        sizes = np.broadcast_to(image_size, (len(rows), 2))
    else:
        raise HumanDataError.of(
            'unknown_size',
            'meta.height',
            'the file has no meta.height and meta.width; set the option '
            'image_size=(height, width)',
        )
    bad = np.flatnonzero(~are_image_sizes(sizes))
    if len(bad):
        raise HumanDataError.of(
            'unknown_size',
            'meta.height',
            'height, width must be numbers of pixels, got '
            f'{sizes[bad[0]].tolist()}',
            int(rows[bad[0]]),
            len(bad),
        )
    return sizes.astype(np.int32)


def _boxes(
    data: HumanData,
    rows: np.ndarray,
    sizes: np.ndarray,
    options: LabelOptions,
) -> dict[str, np.ndarray]:
    height, width = sizes.T
    body = np.asarray(data['bbox_xywh'])[rows]
    boxes, valid = sanitize_xywh(
        body[:, :4], height, width, options.body_bbox_ratio
    )
    columns = {'bboxes': boxes, 'bbox_valid': valid}
    for part in PARTS:
        key = f'{part}_bbox_xywh'
        if key in data:
            box = np.asarray(data[key])[rows]
        else:
            box = np.zeros((len(rows), 5))
        boxes, valid = sanitize_xywh(
            box[:, :4], height, width, options.part_bbox_ratio
        )
        annotated = box[:, 4] > 0
        columns[f'{part}_bboxes'] = boxes
        columns[f'{part}_box_valid'] = valid & annotated
        columns[f'{part}_valid'] = annotated
    return columns


def body_model_of(data: HumanData) -> str | None:
    """Name of the body model whose parameters are used."""
    return next((name for name in BODY_MODELS if name in data), None)


def _body(
    data: HumanData, rows: np.ndarray, options: LabelOptions
) -> dict[str, np.ndarray]:
    model = body_model_of(data)
    params = data[model] if model else {}
    count = len(rows)

    def read(name: str, size: int) -> np.ndarray:
        if name not in params:
            return np.zeros((count, size), np.float32)
        value = np.asarray(params[name])
        value = value.reshape(len(value), math.prod(value.shape[1:]))
        return value[rows, :size].astype(np.float32)

    hands = np.hstack([read(name, 45) for name in _HAND_KEYS.values()])
    if options.hand_mean is not None:
        hands -= np.asarray(options.hand_mean, np.float32)
    pose = np.hstack(
        (
            read('global_orient', 3),
            read('body_pose', 63),
            hands,
            read('jaw_pose', 3),
        )
    )
    names = data.get('meta', {}).get('gender', ())
    names = np.asarray(names, dtype=str)[rows] if len(names) else None
    gender = gender_codes(names, count)
    betas = read('betas', 10)
    betas_valid = np.full(count, model == 'smplx')
    if options.use_betas_neutral and 'betas_neutral' in params:
        betas = read('betas_neutral', 10)
        if options.max_neutral_beta is not None:
            # NaN stays valid, so that its own rule drops the row.
            far = np.abs(betas) > options.max_neutral_beta
            betas_valid &= ~far.any(axis=1)
        gender = np.full(count, GENDERS.index('neutral') - 1, np.int8)
    return {
        'smplx_pose': pose.reshape(count, 53, 3),
        'smplx_betas': betas,
        'smplx_expression': read('expression', 10),
        'smplx_transl': read('transl', 3),
        'smplx_valid': _meta_flags(data, 'smplx_valid', rows)
        & (model is not None),
        'betas_valid': betas_valid,
        'expression_valid': _expression_valid(params, rows, options),
        'gender': gender,
    }


def _expression_valid(
    params: Mapping[str, Any], rows: np.ndarray, options: LabelOptions
) -> np.ndarray:
    if 'expression' not in params or not options.expression_supervises:
        return np.zeros(len(rows), bool)
    if 'expr_valid' in params:
        return np.asarray(params['expr_valid'])[rows].reshape(-1) != 0
    return np.ones(len(rows), bool)


def _meta_values(
    data: HumanData, name: str, rows: np.ndarray
) -> np.ndarray | None:
    """``(P,)`` numbers of ``meta``; None if the file has none."""
    value = np.asarray(data.get('meta', {}).get(name, ()))
    if value.shape[:1] != (len(data),) or value.dtype.kind not in 'fiub':
        return None
    return value.reshape(len(data))[rows]


def _meta_flags(data: HumanData, name: str, rows: np.ndarray) -> np.ndarray:
    """``(P,)`` bool flag of ``meta``; true if the file lacks it."""
    value = _meta_values(data, name, rows)
    return np.ones(len(rows), bool) if value is None else value != 0


def gender_codes(names: np.ndarray | None, count: int) -> np.ndarray:
    """``(P,)`` int8: -1 neutral or unknown, 0 male, 1 female."""
    if names is None:
        return np.full(count, -1, np.int8)
    codes = [names == name for name in GENDERS]
    return np.select(codes, (-1, 0, 1), -1).astype(np.int8)


def _part_flags(
    data: HumanData,
    rows: np.ndarray,
    columns: Mapping[str, np.ndarray],
    options: LabelOptions,
) -> dict[str, np.ndarray]:
    """Flags of hands and faces that have labels of their own."""
    model = body_model_of(data)
    params = data[model] if model else {}
    has_labels = {part: key in params for part, key in _HAND_KEYS.items()}
    has_labels['face'] = 'expression' in params
    flags = {}
    for part in PARTS:
        if options.part_valid_source == 'meta':
            annotated = _meta_flags(data, _META_VALID[part], rows)
        else:
            annotated = columns[f'{part}_valid']
        flags[f'{part}_valid'] = annotated & has_labels[part]
    return flags


def _drop_rows(
    columns: Mapping[str, np.ndarray],
    paths: np.ndarray,
    data: HumanData,
    options: LabelOptions,
) -> tuple[np.ndarray, list[DropCount]]:
    """Rows to keep, and counts of dropped rows by rule."""
    rows = columns['row']
    boxes = np.asarray(data['bbox_xywh'])[rows]
    broken = {
        'non_finite_bbox': ~np.isfinite(boxes[:, :4]).all(axis=1),
        'empty_bbox': ~columns['bbox_valid'],
        **non_finite_labels(columns),
    }
    flags = {
        name: _meta_values(data, name, rows)
        for name in ('iscrowd', 'num_keypoints', 'valid_label')
    }
    broken |= optional_drops(columns, paths, flags, options)
    if options.min_bbox_conf is not None:
        broken['low_bbox_confidence'] = boxes[:, 4] < options.min_bbox_conf
    if 'duplicate' in options.drop_rules:
        kept = ~np.any([*broken.values()], axis=0)
        broken['duplicate'] = duplicate_boxes(paths, columns['bboxes'], kept)
    return sound_rows(broken, rows)


def sound_rows(
    broken: Mapping[str, np.ndarray], rows: np.ndarray
) -> tuple[np.ndarray, list[DropCount]]:
    """Rows to keep, and counts of dropped rows by rule.

    Args:
        broken: ``(P,)`` bool by rule, some of :data:`DROP_RULES`; a person
            is counted under the first rule that applies.
        rows: ``(P,)`` rows of the persons in the file.
    """
    keep, counts = np.ones(len(rows), bool), []
    for rule in DROP_RULES:
        bad = broken.get(rule, False) & keep
        if bad.any():
            first = int(rows[bad].min())
            counts.append(DropCount(rule, int(bad.sum()), first))
        keep &= ~bad
    return np.flatnonzero(keep), counts


def non_finite_labels(
    columns: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """``(P,)`` bool by rule: persons with a non-finite label."""
    return {
        rule: non_finite_rows(columns, *names)
        for rule, names in _FINITE.items()
    }


def non_finite_rows(
    columns: Mapping[str, np.ndarray], *names: str
) -> np.ndarray:
    """``(P,)`` bool: NaN or infinity in any of the named columns."""
    bad = np.zeros(len(columns['row']), bool)
    for name in names:
        if name in columns:
            value = columns[name]
            finite = np.isfinite(value)
            bad |= ~finite.all(axis=tuple(range(1, value.ndim)))
    return bad


def index_images(
    image: np.ndarray, count: int, others: np.ndarray | tuple = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Images that have persons, or are among others, and their persons.

    Returns:
        Their numbers, ascending, and the ``[start, end)`` of each.
    """
    persons = np.bincount(image, minlength=count)
    kept = np.union1d(np.flatnonzero(persons), others).astype(np.int64)
    ends = np.cumsum(persons[kept])
    return kept, np.stack((ends - persons[kept], ends), axis=1)
