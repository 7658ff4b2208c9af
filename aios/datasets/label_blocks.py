# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Labels of a file in blocks of images.

Symbols: ``N`` rows of the file, ``P`` persons kept, ``M`` images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from aios.utils.safe_io import leaves_folder

from .faults import HumanDataError
from .human_data import HumanData
from .image_sizes import are_image_sizes
from .label_extras import image_cameras, person_cameras
from .label_options import DROP_RULES, DropCount, LabelOptions, LabelTable
from .labels import (
    LabelBlock,
    block_labels,
    body_model_of,
    choose_keypoints,
    image_sizes,
)

_MAX_ROWS = 1 << 13
_EMPTY_IMAGES = 'misc.empty_images'


def label_blocks(
    data: HumanData, options: LabelOptions, max_rows: int = _MAX_ROWS
) -> Iterator[LabelTable]:
    """Convert a file to label arrays, block by block.

    If the rows of each image are contiguous in the file, rows are read in
    ascending order.

    Args:
        data: The file, possibly with large arrays left in it (``stream``).
        options: Options of the labels.
        max_rows: Maximum rows of a block, unless one image has more.

    Yields:
        Blocks of columns, to be concatenated (P persons sorted by image, M
        images); ``info`` of the last block covers the whole file.

        - ``image_path`` (M,) str, ``image_index`` (M,) index in the file,
          ``image_size`` (M, 2) height and width, ``image_rows`` (M, 2)
          ``[start, end)`` persons, ``image_camera`` (M, 4) fx, fy, cx, cy
          or NaN;
        - ``row`` (P,) row of the file; ``bboxes``, ``lhand_bboxes``,
          ``rhand_bboxes``, ``face_bboxes`` (P, 4) float32 xyxy pixels;
          ``smplx_valid``, ``lhand_valid``, ``rhand_valid``, ``face_valid``,
          ``betas_valid``, ``expression_valid`` (P,) bool; ``lhand_box_valid``
          etc. (P,) bool;
        - ``keypoints`` (P, 137, 3) x, y, confidence; ``keypoints3d``
          (P, 137, 4) pelvis-relative meters and confidence, if present;
          ``cameras`` (P, 4) fx, fy, cx, cy if persons of an image have
          different ones; with ``ignore_crowds``: ``ignored_bboxes`` (Q, 4)
          and their ``[start, end)``, ``image_ignored`` (M, 2);
        - ``smplx_pose`` (P, 53, 3) axis-angle, hands relative to the mean
          hand; ``smplx_betas``, ``smplx_expression`` (P, 10);
          ``smplx_transl`` (P, 3); ``gender`` (P,) int8;
        - with ``read_smpl``: ``smpl_pose`` (P, 72) axis-angle,
          ``smpl_betas`` (P, 10) and, if the file has ``meta.RT``,
          ``extrinsics`` (P, 4, 4) from the world to the camera.

    Raises:
        HumanDataError: If a required key is missing.
    """
    keys = choose_keypoints(data, options)
    rows, counts = _rows_of_images(data, options)
    if 'duplicate' in options.drop_rules and not options.group_by_image:
        max_rows = len(rows)  # duplicates may be anywhere
    sizes = image_sizes(data, rows, options.image_size)
    dtype, with_cameras = _path_dtype(data), False
    if len(rows):
        with_cameras = _have_cameras(data, rows, counts, sizes)
    ends = np.cumsum(counts)
    cuts = np.searchsorted(ends, np.arange(0, len(rows), max_rows), 'right')
    cuts = np.unique([0, *cuts, len(counts)])
    persons, ignored = 0, 0
    dropped = _rows_without_range(data)
    info: dict[str, Any] = {
        'kps2d_key': keys[0],
        'kps3d_key': keys[1],
        'body_model': body_model_of(data),
        'num_rows': len(rows) + sum(count.persons for count in dropped),
        'num_images': len(counts),
    }
    columns: dict[str, np.ndarray] = {}
    for first, last in zip(cuts, [*cuts[1:], len(counts)], strict=True):
        if first == last and columns:
            break
        span = slice(*np.append(0, ends)[[first, last]])
        block = LabelBlock(
            rows[span], counts[first:last], sizes[span], dtype, with_cameras
        )
        columns, drops = block_labels(data, options, keys, block)
        columns['image_index'] += first
        columns['image_index'] *= options.sample_interval
        columns['image_rows'] += persons
        persons += len(columns['row'])
        if options.ignore_crowds:
            columns['image_ignored'] += ignored
            ignored += len(columns['ignored_bboxes'])
        dropped = _merge_counts(dropped, drops)
        info['dropped'] = [vars(count) for count in dropped]
        yield LabelTable(columns, dict(info))
    yield _empty_images(data, options, info, (persons, ignored), dtype)


def pack_meta(data: HumanData) -> None:
    """Convert lists of ``meta`` to arrays, which are smaller and faster."""
    if 'meta' not in data:
        return
    meta = dict(data['meta'])
    for name, value in meta.items():
        if isinstance(value, list) and len(value) == len(data) > 0:
            kinds = set(map(type, value))
            if len(kinds) == 1 and kinds <= {str, int, float, bool}:
                meta[name] = np.asarray(value)
    data['meta'] = meta


def _rows_of_images(
    data: HumanData, options: LabelOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of every n-th image, and the number of rows of each."""
    rows, counts = data.image_rows(options.group_by_image)
    if options.sample_interval > 1:
        start = (np.cumsum(counts) - counts)[:: options.sample_interval]
        counts = counts[:: options.sample_interval]
        place = np.repeat(start - (np.cumsum(counts) - counts), counts)
        rows = rows[place + np.arange(len(place))]
    return rows, counts


def _rows_without_range(data: HumanData) -> list[DropCount]:
    """Count rows that ``frame_range`` assigns to no image."""
    rows, _ = data.image_rows(group_by_image=False)
    left = np.ones(len(data), bool)
    left[rows] = False
    count = int(left.sum())
    return [DropCount('no_range', count, int(left.argmax()))] if count else []


def _path_dtype(data: HumanData) -> np.dtype:
    empty = data.get('misc', {}).get('empty_images')
    paths = empty.get('image_path', ()) if isinstance(empty, dict) else ()
    longest = max(map(len, data['image_path']), default=1)
    if isinstance(paths, (list, tuple, np.ndarray)):
        longest = max(longest, *(len(str(path)) for path in paths), 1)
    return np.dtype(f'<U{longest}')


def _have_cameras(
    data: HumanData, rows: np.ndarray, counts: np.ndarray, sizes: np.ndarray
) -> bool:
    """Whether persons of an image have different cameras."""
    cameras = person_cameras(data, rows, sizes)
    ends = np.cumsum(counts)
    shared = image_cameras(cameras, np.stack((ends - counts, ends), 1))
    return bool(np.isnan(shared).any() and np.isfinite(cameras).any())


def _empty_images(
    data: HumanData,
    options: LabelOptions,
    info: dict[str, Any],
    ends: tuple[int, int],
    dtype: np.dtype,
) -> LabelTable:
    """The last block: images without persons."""
    paths, sizes = _listed_images(data)
    interval, images = options.sample_interval, info['num_images']
    names = [path.replace('\\', '/') for path in paths.tolist()]
    if names:
        _refuse_duplicates(names, data['image_path'])
    names = names[::interval]
    count = len(names)
    columns = {
        'image_path': np.array(names, dtype),
        'image_index': (images + np.arange(count)) * interval,
        'image_size': sizes[::interval].astype(np.int32),
        'image_rows': np.full((count, 2), ends[0]),
        'image_camera': np.full((count, 4), np.nan),
    }
    if options.ignore_crowds:
        columns['image_ignored'] = np.full((count, 2), ends[1])
    return LabelTable(columns, {**info, 'num_images': images + count})


def _listed_images(data: HumanData) -> tuple[np.ndarray, np.ndarray]:
    """Paths ``(E,)`` and sizes ``(E, 2)`` of ``misc['empty_images']``.

    Raises:
        HumanDataError: If it does not hold ``image_path``, ``height`` and
            ``width``, of one length.
    """
    listed = data.get('misc', {}).get('empty_images')
    if listed is None:
        return np.zeros(0, '<U1'), np.zeros((0, 2), np.int64)
    table = listed if isinstance(listed, Mapping) else {}
    paths, height, width = (
        np.asarray(table.get(name, 0))
        for name in ('image_path', 'height', 'width')
    )
    if (
        paths.shape != (paths.size,)
        or not paths.shape == height.shape == width.shape
        or (paths.size and paths.dtype.kind != 'U')
        or (paths.size and {height.dtype.kind, width.dtype.kind} - set('iu'))
    ):
        raise HumanDataError.of(
            'wrong_type',
            _EMPTY_IMAGES,
            'must be a dictionary of lists image_path (strings), height '
            'and width (integers), all of one length',
        )
    sizes = np.stack([height, width], axis=1).reshape(-1, 2)
    bad = np.flatnonzero(~are_image_sizes(sizes))
    if len(bad):
        raise HumanDataError.of(
            'unknown_size',
            _EMPTY_IMAGES,
            'height, width must be numbers of pixels, got '
            f'{sizes[bad[0]].tolist()}',
            int(bad[0]),
            len(bad),
        )
    outside = [i for i, p in enumerate(paths.tolist()) if leaves_folder(p)]
    if outside:
        text = f'image_path leaves data_prefix: {paths[outside[0]]!r}'
        raise HumanDataError.of(
            'outside', _EMPTY_IMAGES, text, outside[0], len(outside)
        )
    return paths.astype(str), sizes


def _refuse_duplicates(names: list[str], with_persons: list[str]) -> None:
    """Reject images without persons that are listed twice, or have some."""
    seen = {path.replace('\\', '/') for path in with_persons}
    for row, name in enumerate(names):
        if name in seen:
            raise HumanDataError.of(
                'duplicate_image',
                _EMPTY_IMAGES,
                f'{name} is listed twice, or there are persons in it',
                row,
            )
        seen.add(name)


def _merge_counts(
    first: list[DropCount], more: list[DropCount]
) -> list[DropCount]:
    persons: Counter[str] = Counter()
    rows: dict[str, int] = {}
    for count in (*first, *more):
        persons[count.rule] += count.persons
        row = rows.setdefault(count.rule, count.first_row)
        rows[count.rule] = min(row, count.first_row)
    return [
        DropCount(rule, persons[rule], rows[rule])
        for rule in DROP_RULES
        if rule in persons
    ]
