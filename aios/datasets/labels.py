# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""From a HumanData file to the arrays that training reads.

Everything that does not change from epoch to epoch is done here once, for
all persons at a time: choosing key-points, sanitising boxes, dropping broken
rows by named rules, bringing hand poses to one convention.

``N`` rows of the file, ``P`` persons kept, ``M`` pictures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from aios.structures import PARTS, SMPLX_137, sanitize_xywh

from .crowds import crowd_columns
from .empty_images import append_empty_images
from .faults import Fault, HumanDataError
from .human_data import HumanData
from .label_cameras import image_cameras, person_cameras
from .label_options import (
    DROP_RULES,
    KEYPOINTS_2D,
    KEYPOINTS_3D,
    DropCount,
    LabelOptions,
    LabelTable,
)
from .person_rules import apply_person_rules, crowds, optional_drops
from .schema import BODY_MODELS, GENDERS
from .smpl_labels import smpl_columns

__all__ = [
    'build_labels',
    'hand_poses_are_flat',
    'index_images',
    'non_finite_rows',
]

_HAND_KEYS = {'lhand': 'left_hand_pose', 'rhand': 'right_hand_pose'}
_META_VALID = {
    'lhand': 'lefthand_valid',
    'rhand': 'righthand_valid',
    'face': 'face_valid',
}


def build_labels(data: HumanData, options: LabelOptions) -> LabelTable:
    """Turn a file into label arrays.

    Args:
        data: The file.
        options: What to make of it.

    Returns:
        Columns (P persons sorted by picture, M pictures):

        - ``image_path`` (M,) str, ``image_index`` (M,) place in the file,
          ``image_size`` (M, 2) height and width, ``image_rows`` (M, 2)
          ``[start, end)`` persons, ``image_camera`` (M, 4) fx, fy, cx, cy
          or NaN;
        - ``row`` (P,) row of the file; ``bboxes``, ``lhand_bboxes``,
          ``rhand_bboxes``, ``face_bboxes`` (P, 4) float32 xyxy pixels;
          ``smplx_valid``, ``lhand_valid``, ``rhand_valid``, ``face_valid``,
          ``betas_valid``, ``expression_valid`` (P,) bool; ``lhand_box_valid``
          etc. (P,) bool;
        - ``keypoints`` (P, 137, 3) x, y, confidence; ``keypoints3d``
          (P, 137, 4) pelvis-relative metres and confidence, if there are
          any; ``cameras`` (P, 4) fx, fy, cx, cy if persons of a picture
          have different ones; with ``ignore_crowds``: ``ignored_bboxes``
          (Q, 4) and ``image_ignored`` (M, 2) ``[start, end)`` of them;
        - ``smplx_pose`` (P, 53, 3) axis-angle, hands relative to the mean
          hand; ``smplx_betas``, ``smplx_expression`` (P, 10);
          ``smplx_transl`` (P, 3); ``gender`` (P,) int8;
        - with ``read_smpl``: ``smpl_pose`` (P, 72) axis-angle,
          ``smpl_betas`` (P, 10) and, if the file has ``meta.RT``,
          ``extrinsics`` (P, 4, 4) from the world to the camera.

    Raises:
        HumanDataError: If a key that is needed is missing.
    """
    kps2d_key, kps3d_key = _choose_keypoints(data, options)
    _require(data, 'image_path', 'bbox_xywh')
    groups = data.images(options.group_by_image)[:: options.image_interval]
    counts = np.array([len(rows) for rows in groups], np.int64)
    rows = np.concatenate(groups or [np.zeros(0, np.int64)])
    image = np.repeat(np.arange(len(groups)), counts)
    sizes = _image_sizes(data, rows, options.image_size)

    columns = {'row': rows}
    columns |= _boxes(data, rows, sizes, options)
    columns['keypoints'] = _keypoints2d(data, kps2d_key, rows, options)
    if kps3d_key is not None:
        columns['keypoints3d'] = _keypoints3d(data, kps3d_key, rows, options)
    columns |= _body(data, rows, options)
    columns |= _part_flags(data, rows, columns, options)
    if options.read_vertices and 'vertices' in data:
        columns['vertices'] = np.asarray(data['vertices'], np.float32)[rows]
    if options.read_smpl:
        columns |= smpl_columns(data, rows)
    apply_person_rules(
        columns,
        {name: _meta_values(data, name, rows) for name in ('occ', 'is_kid')},
        options,
    )

    keep, dropped = _drop_rows(columns, data, options)
    kept_images, image_rows = index_images(image[keep], len(groups))
    cameras = person_cameras(data, rows[keep], sizes[keep])
    first_rows = rows[keep][image_rows[:, 0]]
    paths = _picture_paths(data)
    ignored = {}
    if options.ignore_crowds:
        is_crowd = crowds(_meta_values(data, 'iscrowd', rows), len(rows))
        is_crowd &= columns['bbox_valid']
        ignored = crowd_columns(
            is_crowd, image, columns['bboxes'], kept_images
        )
    columns = {name: value[keep] for name, value in columns.items()} | ignored
    columns.pop('bbox_valid')
    image_camera = image_cameras(cameras, image_rows)
    if np.isnan(image_camera).any() and np.isfinite(cameras).any():
        columns['cameras'] = cameras.astype(np.float32)
    images = {
        'image_path': paths[first_rows],
        'image_index': kept_images * options.image_interval,
        'image_size': sizes[keep][image_rows[:, 0]],
        'image_rows': image_rows,
        'image_camera': image_camera,
    }
    if ignored:
        images['image_ignored'] = columns['image_ignored']
    num_kept = len(kept_images)
    interval = options.image_interval
    images = append_empty_images(
        images, data, len(groups) * interval, interval
    )
    return LabelTable(
        columns | images,
        {
            'kps2d_key': kps2d_key,
            'kps3d_key': kps3d_key,
            'body_model': _body_model(data),
            'num_rows': len(rows),
            'num_images': len(groups) + len(images['image_path']) - num_kept,
            'dropped': [vars(count) for count in dropped],
        },
    )


def hand_poses_are_flat(data: HumanData) -> bool | None:
    """What a file says about its hand poses.

    Returns:
        True if they are absolute rotations (``flat_hand_mean``), False if
        they are relative to the mean hand, None if the file does not say.

    Raises:
        HumanDataError: If the file contradicts itself.
    """
    misc, params = data.get('misc', {}), data.get('smplx', {})
    said = [
        bool(value)
        for source in (misc, params)
        if 'flat_hand_mean' in source
        for value in np.ravel(source['flat_hand_mean'])
    ]
    if not said:
        return None
    if len(set(said)) > 1:
        raise HumanDataError(
            Fault(
                'wrong_type',
                'flat_hand_mean',
                'is both true and false; set the option flat_hand_mean',
            )
        )
    return said[0]


def _require(data: HumanData, *keys: str) -> None:
    faults = [
        Fault('missing_key', key, 'is needed but absent')
        for key in keys
        if key not in data
    ]
    if faults:
        raise HumanDataError(faults)


def _picture_paths(data: HumanData) -> np.ndarray:
    """``(N,)`` with slashes, also if the file was made on Windows."""
    paths = np.asarray(data['image_path'], dtype=str)
    return np.char.replace(paths, '\\', '/')


def _choose_keypoints(
    data: HumanData, options: LabelOptions
) -> tuple[str, str | None]:
    kps2d, kps3d = options.kps2d_key, options.kps3d_key
    _require(data, *(key for key in (kps2d, kps3d) if key is not None))
    if kps2d is None:
        kps2d = next((key for key in KEYPOINTS_2D if key in data), None)
    if kps2d is None:
        allowed = ', '.join(KEYPOINTS_2D)
        raise HumanDataError(
            Fault('missing_key', 'keypoints2d', f'need one of {allowed}')
        )
    if kps3d is None:
        kps3d = next((key for key in KEYPOINTS_3D if key in data), None)
    return kps2d, kps3d if options.use_3d else None


def _image_sizes(
    data: HumanData, rows: np.ndarray, image_size: tuple[int, int] | None
) -> np.ndarray:
    """``(P, 2)`` height and width of each row's picture."""
    meta = data.get('meta', {})
    height, width = (np.asarray(meta.get(k, ())) for k in ('height', 'width'))
    if height.size and width.size:
        sizes = np.stack((height[rows], width[rows]), axis=1)
    elif image_size is not None:
        sizes = np.broadcast_to(image_size, (len(rows), 2))
    else:
        raise HumanDataError(
            Fault(
                'unknown_size',
                'meta.height',
                'the file has no meta.height and meta.width; set the option '
                'image_size=(height, width)',
            )
        )
    bad = np.flatnonzero(~(sizes > 0).all(axis=1))
    if len(bad):
        raise HumanDataError(
            Fault(
                'unknown_size',
                'meta.height',
                f'height, width must be positive, got {sizes[bad[0]]}',
                int(rows[bad[0]]),
                len(bad),
            )
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


def _keypoints2d(
    data: HumanData, key: str, rows: np.ndarray, options: LabelOptions
) -> np.ndarray:
    """``(P, 137, 3)`` x, y, confidence."""
    joints = data.joints(key, SMPLX_137, rows)
    points = joints[..., :3].astype(np.float32)
    if joints.shape[-1] == 4:
        # UBody: x, y, COCO's visibility, and a constant nobody needs.
        points[..., 2] = points[..., 2] > 0
    return _swap_eyes(points, options)


def _keypoints3d(
    data: HumanData, key: str, rows: np.ndarray, options: LabelOptions
) -> np.ndarray:
    """``(P, 137, 4)`` pelvis-relative metres, confidence."""
    points = data.joints(key, SMPLX_137, rows).astype(np.float32)
    pelvis = SMPLX_137.index('pelvis')
    points[..., :3] -= points[:, pelvis : pelvis + 1, :3]
    return _swap_eyes(points, options)


def _swap_eyes(points: np.ndarray, options: LabelOptions) -> np.ndarray:
    if options.legacy_eye_swap:
        points[:, [67, 68]] = points[:, [68, 67]]
    return points


def _body_model(data: HumanData) -> str | None:
    return next((name for name in BODY_MODELS if name in data), None)


def _body(
    data: HumanData, rows: np.ndarray, options: LabelOptions
) -> dict[str, np.ndarray]:
    model = _body_model(data)
    params = data[model] if model else {}
    count = len(rows)

    def read(name: str, size: int) -> np.ndarray:
        if name not in params:
            return np.zeros((count, size), np.float32)
        value = np.asarray(params[name])[rows].reshape(count, -1)
        return value[:, :size].astype(np.float32)

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
    gender = _genders(data, rows)
    betas = read('betas', 10)
    betas_valid = np.full(count, model == 'smplx')
    if options.use_betas_neutral and 'betas_neutral' in params:
        betas = read('betas_neutral', 10)
        if options.max_neutral_beta is not None:
            # NaN stays valid, so that the row is dropped by its own rule.
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
    """``(P,)`` numbers of ``meta``; None where the file has none."""
    value = np.asarray(data.get('meta', {}).get(name, ()))
    if value.shape[:1] != (len(data),) or value.dtype.kind not in 'fiub':
        return None
    return value.reshape(len(data))[rows]


def _meta_flags(data: HumanData, name: str, rows: np.ndarray) -> np.ndarray:
    """``(P,)`` bool flag of ``meta``; true where the file does not say."""
    value = _meta_values(data, name, rows)
    return np.ones(len(rows), bool) if value is None else value != 0


def _genders(data: HumanData, rows: np.ndarray) -> np.ndarray:
    names = data.get('meta', {}).get('gender', ())
    if not len(names):
        return np.full(len(rows), -1, np.int8)
    names = np.asarray(names, dtype=str)[rows]
    codes = [names == name for name in GENDERS]
    return np.select(codes, (-1, 0, 1), -1).astype(np.int8)


def _part_flags(
    data: HumanData,
    rows: np.ndarray,
    columns: Mapping[str, np.ndarray],
    options: LabelOptions,
) -> dict[str, np.ndarray]:
    """Which hands and faces have labels beyond the body's."""
    model = _body_model(data)
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
    columns: Mapping[str, np.ndarray], data: HumanData, options: LabelOptions
) -> tuple[np.ndarray, list[DropCount]]:
    """Rows to keep, and which rule dropped the others."""
    rows = columns['row']
    boxes = np.asarray(data['bbox_xywh'])[rows]
    broken = {
        'non_finite_bbox': ~np.isfinite(boxes[:, :4]).all(axis=1),
        'empty_bbox': ~columns['bbox_valid'],
        'low_bbox_confidence': np.zeros(len(rows), bool),
        'non_finite_keypoints2d': non_finite_rows(columns, 'keypoints'),
        'non_finite_keypoints3d': non_finite_rows(columns, 'keypoints3d'),
        'non_finite_body_model': non_finite_rows(
            columns,
            'smplx_pose',
            'smplx_betas',
            'smplx_expression',
            'smplx_transl',
            'smpl_pose',
            'smpl_betas',
            'extrinsics',
        ),
    }
    flags = {
        name: _meta_values(data, name, rows)
        for name in ('iscrowd', 'num_keypoints', 'valid_label')
    }
    paths = _picture_paths(data)[rows]
    broken |= optional_drops(columns, paths, flags, options)
    if options.min_bbox_conf is not None:
        broken['low_bbox_confidence'] = boxes[:, 4] < options.min_bbox_conf
    keep = np.ones(len(rows), bool)
    counts = []
    for rule in DROP_RULES:
        bad = broken.get(rule, False) & keep
        if bad.any():
            first = int(rows[bad].min())
            counts.append(DropCount(rule, int(bad.sum()), first))
        keep &= ~bad
    return np.flatnonzero(keep), counts


def non_finite_rows(
    columns: Mapping[str, np.ndarray], *names: str
) -> np.ndarray:
    """``(P,)`` bool: a NaN or infinity in any of the named columns."""
    bad = np.zeros(len(columns['row']), bool)
    for name in names:
        if name in columns:
            value = columns[name]
            finite = np.isfinite(value)
            bad |= ~finite.all(axis=tuple(range(1, value.ndim)))
    return bad


def index_images(
    image: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Pictures that have persons, and the ``[start, end)`` of each."""
    persons = np.bincount(image, minlength=count)
    kept = np.flatnonzero(persons)
    ends = np.cumsum(persons[kept])
    return kept, np.stack((ends - persons[kept], ends), axis=1)
