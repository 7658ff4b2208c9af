# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Conversion of label rows to HumanData."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from aios.datasets import HumanData
from aios.structures import joint_mapping

_KEYPOINTS = (
    'keypoints2d_smplx',
    'keypoints3d_smplx',
    'keypoints2d_smplx_visible',
)


def to_human_data(
    rows: Mapping[str, np.ndarray],
    *,
    name: str,
    image_size: tuple[int, int] | None,
    empty: Mapping[str, list] | None = None,
) -> HumanData:
    """Converts label rows to an annotation file.

    Args:
        rows: Arrays with one row per person as written by
            :func:`aios.synthetic.labels.label_scene`, with ``image_path``;
            ``smplx/...`` and ``meta/...`` become dicts.
        name: Value of ``config``.
        image_size: ``(width, height)`` in pixels, ``None`` if images
            differ.
        empty: ``image_path``, ``height`` and ``width`` of images without
            persons.

    Returns:
        The compressed HumanData.
    """
    data = HumanData()
    nested: dict[str, dict[str, Any]] = {'smplx': {}, 'meta': {}}
    for key, value in rows.items():
        group, _, field = key.partition('/')
        if not field:
            data[key] = value.tolist() if value.dtype.kind == 'U' else value
        elif group == 'smplx' or value.ndim > 1:
            nested[group][field] = value
        else:
            nested[group][field] = value.tolist()
    mask = (joint_mapping('smplx_144', 'human_data') >= 0).astype(np.uint8)
    for key in _KEYPOINTS:
        data[f'{key}_mask'] = mask
        data[f'{key}_convention'] = 'human_data'
    data['smplx'], data['meta'] = nested['smplx'], nested['meta']
    data['misc'] = dict(
        kps3d_root_aligned=False,
        flat_hand_mean=False,
        bbox_source='smplx_vertices',
        bbox_body_scale=1.0,
        bbox_facehand_scale=1.0,
        smplx_source='original',
        cam_param_type='prespective',
    )
    if image_size is not None:
        data['misc']['image_shape'] = list(image_size[::-1])
    if empty and empty['image_path']:
        data['misc']['empty_images'] = dict(empty)
    data['config'] = name
    data.set_frame_range()
    data.compress()
    return data
