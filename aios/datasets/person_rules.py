# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Rules of individual datasets that drop persons or labels.

Symbols: ``P`` persons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from aios.structures import PARTS

from .label_options import LabelOptions

_TRIM = '_Trim'


def apply_person_rules(
    columns: dict[str, np.ndarray],
    meta: Mapping[str, np.ndarray | None],
    options: LabelOptions,
) -> None:
    """Invalidate labels that must not supervise; changes ``columns``.

    Args:
        columns: Columns of :func:`aios.datasets.label_blocks.label_blocks`.
        meta: ``occ`` ``(P,)`` percent and ``is_kid`` ``(P,)``; None if
            unknown: no person is occluded, none is a child.
        options: ``max_occlusion``, ``kids_shape_supervises``,
            ``keypoints3d_follow_2d``.
    """
    if options.keypoints3d_follow_2d and 'keypoints3d' in columns:
        known = columns['keypoints3d'][..., 3]
        np.copyto(known, columns['keypoints'][..., 2], where=known > 0)
    occlusion, is_kid = meta.get('occ'), meta.get('is_kid')
    if options.max_occlusion is not None and occlusion is not None:
        seen = np.asarray(occlusion) < options.max_occlusion
        columns['smplx_valid'] = columns['smplx_valid'] & seen
        for name in ('keypoints', 'keypoints3d'):
            if name in columns:
                columns[name][..., -1] *= seen[:, None]
        for part in PARTS:
            columns[f'{part}_box_valid'] = columns[f'{part}_box_valid'] & seen
    if not options.kids_shape_supervises and is_kid is not None:
        adult = np.asarray(is_kid) == 0
        columns['betas_valid'] = columns['betas_valid'] & adult


def optional_drops(
    columns: Mapping[str, np.ndarray],
    paths: np.ndarray,
    meta: Mapping[str, np.ndarray | None],
    options: LabelOptions,
) -> dict[str, np.ndarray]:
    """Persons that the optional rules of a dataset drop.

    Args:
        columns: Columns of :func:`aios.datasets.label_blocks.label_blocks`.
        paths: ``(P,)`` image of each person.
        meta: ``iscrowd``, ``num_keypoints``, ``valid_label``, each ``(P,)``
            or None.
        options: ``drop_rules``, ``videos``, ``video_rule``.

    Returns:
        ``(P,)`` bool by rule, without ``'duplicate'``, which depends on all
        other rules.
    """
    tests: dict[str, Callable[[], Any]] = {
        'crowd': lambda: crowds(meta.get('iscrowd'), len(paths)),
        'no_keypoints': lambda: _equal(meta.get('num_keypoints'), paths, 0),
        'invalid_label': lambda: _equal(meta.get('valid_label'), paths, 0),
        'no_confidence': lambda: ~(columns['keypoints'][..., 2] > 0).any(1),
    }
    drops = {
        rule: tests[rule]() for rule in options.drop_rules if rule in tests
    }
    if options.videos is not None:
        listed = np.isin(video_names(paths), options.videos)
        drops['other_split'] = listed == (options.video_rule == 'drop')
    return drops


def video_names(paths: np.ndarray) -> np.ndarray:
    """Video of each image: the name of its folder without ``_Trim...``."""
    names = [str(path).replace('\\', '/').split('/') for path in paths]
    folders = [parts[-2] if len(parts) > 1 else '' for parts in names]
    return np.array([name.split(_TRIM)[0] for name in folders], dtype=str)


def crowds(flags: np.ndarray | None, count: int) -> np.ndarray:
    """``(count,)`` bool: boxes of crowds (``meta.iscrowd``)."""
    if flags is None:
        return np.zeros(count, bool)
    return np.asarray(flags == 1)


def _equal(
    values: np.ndarray | None, paths: np.ndarray, wanted: int
) -> np.ndarray:
    if values is None:
        return np.zeros(len(paths), bool)
    return np.asarray(values == wanted)


def duplicate_boxes(
    paths: np.ndarray, boxes: np.ndarray, kept: np.ndarray | None = None
) -> np.ndarray:
    """All but the first of the persons with equal boxes in an image.

    Args:
        paths: ``(P,)`` image of each person.
        boxes: ``(P, 4)``.
        kept: ``(P,)`` bool, persons to compare; default all.  A person is no
            duplicate of one that is left out.

    Returns:
        ``(P,)`` bool.
    """
    rows = np.arange(len(paths)) if kept is None else np.flatnonzero(kept)
    _, image = np.unique(paths[rows], return_inverse=True)
    keys = np.column_stack((image, np.nan_to_num(boxes[rows])))
    _, first = np.unique(keys, axis=0, return_index=True)
    duplicate = np.zeros(len(paths), bool)
    duplicate[rows] = True
    duplicate[rows[first]] = False
    return duplicate
