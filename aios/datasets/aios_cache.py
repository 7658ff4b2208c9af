# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The label caches published with AiOS.

A cache is an ``.npz`` with one pickled dictionary per image (keys ``0`` to
``M - 1``), and ``data_len``.  The labels are those of a HumanData file,
sampled and shuffled, with the paths of the authors' machine and with
swapped eyeballs.

Symbols: ``n`` persons of an image, ``P`` persons, ``M`` images.
"""

from __future__ import annotations

import logging
import math
import os.path as osp
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from mmengine.logging import print_log
from tqdm import tqdm

from aios.registry import DATASETS
from aios.structures import PARTS
from aios.utils.choices import check_choice
from aios.utils.safe_io import (
    CorruptFileError,
    UnsafeFileError,
    iter_npz,
    list_npz,
)

from . import benchmarks
from .faults import HumanDataError, file_fault
from .human_dataset import HumanDataset, read_hand_mean
from .image_list import ImageList
from .joint_labels import align_pelvis, bound_confidences, swap_eyeballs
from .label_options import DropCount, LabelOptions, LabelTable
from .labels import (
    gender_codes,
    index_images,
    non_finite_labels,
    non_finite_rows,
    sound_rows,
)
from .person_rules import apply_person_rules
from .supervision import clear_unlabeled

MARKERS = (
    'agora/',
    'train_images/',
    'coco_2017/',
    'UBody/images/',
    'ARCTIC/',
    'EgoBody/',
    'ehf/',
)
"""Folders after which the paths of the published caches are portable."""

# Other options of labels concern the annotation file, or what the program
# that wrote the cache has done already.
_OPTIONS = frozenset(
    (
        *('has_3d', 'expression_supervises', 'use_betas_neutral'),
        *('max_neutral_beta', 'max_occlusion', 'kids_shape_supervises'),
        'keypoints3d_follow_2d',
    )
)
_ATTRIBUTES = ('data_len', 'data_strategy')
_POSES = {
    'root_pose': 3,
    'body_pose': 63,
    'lhand_pose': 45,
    'rhand_pose': 45,
    'jaw_pose': 3,
}
_JOINTS = {'keypoints': 'joint_img', 'keypoints3d': 'joint_cam'}


@DATASETS.register_module()
class AiOSCacheDataset(HumanDataset):
    """A label cache published with AiOS.

    It is for users who only have the caches; with the HumanData files use
    the classes of :mod:`aios.datasets.benchmarks`.  The cache is read once,
    without executing code from it, into the memory-mapped arrays of
    :class:`~aios.datasets.HumanDataset`, which all workers share.

    Args:
        ann_file: The cache.
        *args: See :class:`~aios.datasets.HumanDataset`.
        benchmark: Class of :mod:`aios.datasets.benchmarks` whose rules
            apply, e.g. ``'AGORADataset'``.  Sampling is not repeated.
        markers: Folders; the part of a path up to the last of them is
            replaced by ``data_prefix['img']``.  Existing absolute paths are
            kept.
        binary_confidence: Whether any confidence above 0 is set to 1.
            Default: with ``benchmark='UBodyDataset'``, whose cache holds raw
            visibilities up to 2.
        legacy_eye_swap: Swap the eyeballs, as all published caches require.
        **kwargs: See :class:`~aios.datasets.HumanDataset`.

    Raises:
        HumanDataError: If the file is invalid, or a path has no marker.
        ValueError: If an option has no effect on a cache.
    """

    ANNOTATION_ADVICE = (
        'Correct data_root and ann_file; docs/en/datasets.md#caches lists '
        'the published caches.'
    )

    def __init__(
        self,
        ann_file: str,
        *args: Any,
        benchmark: str | None = None,
        markers: Sequence[str] = MARKERS,
        binary_confidence: bool | None = None,
        legacy_eye_swap: bool = True,
        **kwargs: Any,
    ) -> None:
        self.markers = tuple(markers)
        if binary_confidence is None:
            binary_confidence = benchmark == 'UBodyDataset'
        self.binary_confidence = binary_confidence
        every = {option.name for option in fields(LabelOptions)}
        if unused := sorted((every - _OPTIONS) & set(kwargs)):
            raise ValueError(
                f'{ann_file}: a cache has no use for the options {unused}; '
                f'allowed are {sorted(_OPTIONS)}'
            )
        if benchmark is not None:
            kwargs = _rules(benchmark, kwargs)
        super().__init__(
            ann_file, *args, legacy_eye_swap=legacy_eye_swap, **kwargs
        )

    def _store_options(self) -> dict[str, Any]:
        return {
            **super()._store_options(),
            'markers': self.markers,
            'binary_confidence': self.binary_confidence,
        }

    def _build_labels(self) -> LabelTable:
        try:
            paths, tables, body_model, flat = self._read()
        except (UnsafeFileError, CorruptFileError) as error:
            raise HumanDataError(file_fault(error), self.ann_file) from error
        image = np.repeat(
            np.arange(len(tables)), [len(t['bboxes']) for t in tables]
        )
        columns = {
            name: np.concatenate([table[name] for table in tables])
            for name in tables[0]
        }
        is_kid = columns.pop('is_kid')
        # All values are 1 if the source file had no such flags.
        knows_children = bool(np.any(is_kid == 0))
        meta = {
            'occ': columns.pop('occ'),
            'is_kid': is_kid if knows_children else None,
        }
        sizes = columns.pop('image_size')
        self._finish(columns, flat)
        apply_person_rules(columns, meta, self.label_options)
        clear_unlabeled(columns, body_model)
        keep, dropped = _drop(columns)
        kept_images, image_rows = index_images(image[keep], len(tables))
        columns = {name: value[keep] for name, value in columns.items()}
        columns |= {
            'image_path': np.array(paths, dtype=str)[kept_images],
            'image_index': kept_images,
            'image_size': sizes[keep][image_rows[:, 0]],
            'image_rows': image_rows,
            'image_camera': np.full((len(kept_images), 4), np.nan),
        }
        return LabelTable(
            columns,
            {
                'kps2d_key': 'joint_img',
                'kps3d_key': 'joint_cam' if 'keypoints3d' in columns else None,
                'body_model': body_model,
                'num_rows': len(image),
                'num_images': len(tables),
                'dropped': [vars(count) for count in dropped],
                'flat_hand_mean': flat,
                'knows_children': knows_children,
            },
        )

    def _read(
        self,
    ) -> tuple[
        list[str], list[dict[str, np.ndarray]], str | None, bool | None
    ]:
        """Paths, columns of each image, body model, ``flat_hand_mean``."""
        paths, tables, models = [], [], []
        flat: set[bool] = set()
        for key, item in _items(self.ann_file):
            try:
                tables.append(_person_columns(item, self.label_options))
                paths.append(self._reroot(str(item['img_path'])))
                models.append(item.get('as_smplx', 'smplx'))
                value = item['smplx_param'].get('flat_hand_mean', ())
                flat.update(np.ravel(value).astype(bool).tolist())
            except (KeyError, ValueError, TypeError) as error:
                missing = isinstance(error, KeyError)
                raise HumanDataError.of(
                    'missing_key' if missing else 'wrong_shape',
                    f'image {key}',
                    f'{type(error).__name__}: {error}',
                    source=self.ann_file,
                ) from error
        if len(set(models)) != 1:
            raise HumanDataError.of(
                'wrong_type',
                'as_smplx',
                'all images must have the same body model, found '
                f'{sorted(set(map(str, models)))}',
                source=self.ann_file,
            )
        return paths, tables, str(models[0]), self._choose_flat(flat)

    def _choose_flat(self, values: set[bool]) -> bool | None:
        """Whether hand poses are absolute, from the values of all images."""
        if self.flat_hand_mean != 'auto':
            return bool(self.flat_hand_mean)
        if len(values) > 1:
            raise HumanDataError.of(
                'wrong_type',
                'smplx_param.flat_hand_mean',
                'is true and false; set the option flat_hand_mean',
                source=self.ann_file,
            )
        return next(iter(values), None)

    def _report(
        self, kept: ImageList, image_counts: Mapping[str, int]
    ) -> None:
        super()._report(kept, image_counts)
        options = self.label_options
        if options.kids_shape_supervises or self.labels.info['knows_children']:
            return
        print_log(
            f'{self.dataset_name} ({self.ann_file}): is_kid does not '
            'distinguish children (1 for all persons, or absent); betas of '
            'all persons are supervised',
            logger='current',
            level=logging.WARNING,
        )

    def _reroot(self, path: str) -> str:
        relative = reroot(path, self.markers)
        if relative is None:
            raise ValueError(
                f'img_path {path!r} has none of the folders '
                f'{self.markers}; set the option markers'
            )
        return relative

    def _finish(
        self, columns: dict[str, np.ndarray], flat: bool | None
    ) -> None:
        """Convert the conventions of the cache; changes ``columns``."""
        options = self.label_options
        if self.binary_confidence:
            points = columns['keypoints']
            points[..., 2] = points[..., 2] > 0
        for name, field in _JOINTS.items():
            if name in columns:
                bound_confidences(columns[name], field, columns['row'])
                if options.legacy_eye_swap:
                    swap_eyeballs(columns[name])
        if 'keypoints3d' in columns:
            points = columns['keypoints3d']
            align_pelvis(points, np.asarray(~points.any(axis=-1)))
        if flat:
            mean = np.asarray(read_hand_mean(self.body_model_path))
            columns['smplx_pose'][:, 22:52] -= mean.reshape(30, 3)


def reroot(path: str, markers: Sequence[str] = MARKERS) -> str | None:
    """Portable part of a path made on another machine.

    Args:
        path: As stored, with slashes or backslashes.
        markers: Folders; letter case does not matter.

    Returns:
        The part after the last marker; the path itself if it is relative
        without a marker, or absolute and exists; otherwise None.
    """
    if osp.isabs(path) and osp.isfile(path):
        return path
    clean = path.replace('\\', '/')
    ends = [
        match.end()
        for marker in markers
        for match in re.finditer(
            rf'(?:^|/){re.escape(marker.strip("/"))}/', clean, re.IGNORECASE
        )
    ]
    if ends:
        return clean[max(ends) :]
    is_absolute = clean.startswith('/') or re.match(r'[A-Za-z]:/', clean)
    return None if is_absolute else clean


def _rules(benchmark: str, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    known = [name for name in benchmarks.__all__ if name.endswith('Dataset')]
    check_choice('benchmark', benchmark, known)
    return getattr(benchmarks, benchmark).with_defaults(kwargs)


def _items(path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    keys = [key for key in list_npz(path) if key not in _ATTRIBUTES]
    numbers = sorted(int(key) for key in keys if key.isdigit())
    if len(numbers) != len(keys) or numbers != list(range(len(numbers))):
        raise CorruptFileError(
            f'{path}: not an AiOS cache; it must have the arrays 0 to M - 1 '
            f'and data_len, it has {sorted(keys)[:3]} ...'
        )
    count = dict(iter_npz(path, ['data_len'], allow_objects=True))['data_len']
    if count.size != 1 or int(count.item()) != len(numbers):
        raise CorruptFileError(
            f'{path}: data_len is {count}, but the file has {len(numbers)} '
            'images'
        )
    if not numbers:
        raise CorruptFileError(f'{path}: contains no images')
    wanted = [str(number) for number in numbers]
    items = iter_npz(path, wanted, allow_objects=True)
    for key, array in tqdm(
        items, desc='read cache', unit='image', total=len(wanted)
    ):
        item = array.item() if array.ndim == 0 else None
        if not isinstance(item, dict):
            raise CorruptFileError(f'{path}[{key}]: must be a dictionary')
        yield key, item


def _person_columns(
    item: Mapping[str, Any], options: LabelOptions
) -> dict[str, np.ndarray]:
    """Columns of the persons of one image, ``n`` rows."""
    count, params = len(item['bbox']), item['smplx_param']

    def numbers(value: Any, *shape: int) -> np.ndarray:
        return _numbers(value, count, shape)

    pose = [numbers(params.get(n), size) for n, size in _POSES.items()]
    is_kid = item.get('is_kid')
    columns = {
        'row': np.arange(count),
        'image_size': np.tile(np.asarray(item['img_shape'])[:2], (count, 1)),
        'occ': numbers(item.get('occlusion'), 1)[:, 0],
        'is_kid': np.ones(count) if is_kid is None else numbers(is_kid),
        'bboxes': numbers(item['bbox'], 4),
        'keypoints': numbers(item['joint_img'], 137, 3),
        'smplx_pose': np.concatenate(pose, axis=1).reshape(count, 53, 3),
        'smplx_expression': numbers(params.get('expr'), 10),
        'smplx_transl': numbers(params.get('trans'), 3),
        'smplx_valid': _flags(params, 'smplx_valid', count),
        'expression_valid': np.full(
            count,
            params.get('expr') is not None and options.expression_supervises,
        ),
        **_shape_columns(item, count, options),
    }
    if options.has_3d is not False:
        columns['keypoints3d'] = numbers(item.get('joint_cam'), 137, 4)
    for part in PARTS:
        boxes = [
            np.zeros(4) if box is None else box
            for box in item.get(f'{part}_bbox') or [None] * count
        ]
        columns[f'{part}_bboxes'] = numbers(boxes, 4)
        columns[f'{part}_box_valid'] = np.any(
            columns[f'{part}_bboxes'], axis=1
        )
        columns[f'{part}_valid'] = _flags(params, f'{part}_valid', count)
    return columns


def _shape_columns(
    item: Mapping[str, Any], count: int, options: LabelOptions
) -> dict[str, np.ndarray]:
    """Shapes, and the genders of their body models."""
    params, names = item['smplx_param'], item.get('gender')
    betas = _numbers(params['shape'], count, (10,))
    valid = np.full(count, item.get('as_smplx', 'smplx') == 'smplx')
    if options.use_betas_neutral and params.get('betas_neutral') is not None:
        betas, names = _numbers(params['betas_neutral'], count, (10,)), None
        if options.max_neutral_beta is not None:
            valid &= ~(np.abs(betas) > options.max_neutral_beta).any(axis=1)
    if names is not None:
        names = np.asarray(names, dtype=str).reshape(count)
    return {
        'smplx_betas': betas,
        'betas_valid': valid,
        'gender': gender_codes(names, count),
    }


def _numbers(value: Any, count: int, shape: tuple[int, ...]) -> np.ndarray:
    """``(n, *shape)`` float32; ``None`` gives zeros, extra values are cut."""
    if value is None:
        return np.zeros((count, *shape), np.float32)
    size = math.prod(shape)
    if not count:
        return np.zeros((0, *shape), np.float32)
    flat = np.asarray(value, np.float32).reshape(count, -1)
    return flat[:, :size].reshape(count, *shape)


def _flags(params: Mapping[str, Any], name: str, count: int) -> np.ndarray:
    """``(n,)`` bool; true if the cache lacks the flag."""
    value = params.get(name)
    if value is None:
        return np.ones(count, bool)
    return np.asarray(value).reshape(count) != 0


def _drop(
    columns: Mapping[str, np.ndarray],
) -> tuple[np.ndarray, list[DropCount]]:
    boxes = columns['bboxes']
    broken = {
        'non_finite_bbox': non_finite_rows(columns, 'bboxes'),
        'empty_bbox': ~np.all(boxes[:, 2:] > boxes[:, :2], axis=1),
        **non_finite_labels(columns),
    }
    return sound_rows(broken, np.arange(len(boxes)))
