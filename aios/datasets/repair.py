# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Unambiguous repairs of annotation files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from aios.structures import box_iou, xywh_to_xyxy

from .converters.table import Cameras, box_columns
from .faults import HumanDataError
from .findings import Report
from .hand_convention import posable_rows, pose_rows
from .human_data import HumanData
from .image_sizes import add_image_sizes, has_image_sizes
from .labels import hand_poses_are_flat
from .supervision import unboxed_parts

_GENDERS = {'m': 'male', 'f': 'female', 'n': 'neutral'}
_MIN_IOU = 0.5  # of a projected body and its box; less: wrong camera


def name_genders(data: HumanData) -> int:
    """Normalize ``m``, ``F``, ``Male`` etc.; return the number of rows.

    Args:
        data: Changed in place; unknown names are kept and rejected later.
    """
    meta = data.get('meta', {})
    old = np.asarray(meta.get('gender', ()), dtype=str)
    names = [_GENDERS.get(g.lower(), g.lower()) for g in old.tolist()]
    new = np.where(np.isin(names, list(_GENDERS.values())), names, old)
    data['meta'] = {**meta, 'gender': new.tolist()}
    return int((new != old).sum())


def fix(
    data: HumanData,
    report: Report,
    image_root: str | os.PathLike | None = None,
    model_path: str | None = None,
) -> tuple[HumanData, list[str]]:
    """Repair faults that have an unambiguous repair.

    Args:
        data: The file.
        report: Result of :func:`aios.datasets.checks.check_human_data`.
        image_root: Folder of the images, for files without image sizes.
        model_path: Body models, for files without boxes of hands and faces;
            see :func:`aios.body_models.find_body_model`.

    Returns:
        A repaired copy, and descriptions of the repairs.

    Raises:
        HumanDataError: If no person is left.
    """
    keep, done = np.ones(len(data), bool), []
    for finding in report.findings:
        if finding.drops and len(finding.rows):
            keep[finding.rows] = False
            done.append(f'dropped {len(finding.rows)} rows: {finding.check}')
    if not keep.any() or 'image_path' not in data:
        reasons = '; '.join(done) or 'there are no rows of images'
        raise HumanDataError.of(
            'no_persons', 'file', f'no person is left: {reasons}'
        )
    fixed = select_rows(data, np.flatnonzero(keep))
    for key in report.swapped_eyes:
        if _swap_eyes(fixed, key):
            done.append(f'swapped the eyeballs of {key}')
    if report.flat_hands not in (None, _stored_flat(data)):
        misc = fixed.get('misc', {})
        fixed['misc'] = {**misc, 'flat_hand_mean': report.flat_hands}
        smplx = dict(fixed['smplx'])
        smplx.pop('flat_hand_mean', None)
        fixed['smplx'] = smplx
        done.append(f'misc.flat_hand_mean = {report.flat_hands}')
    if image_root is not None and not has_image_sizes(fixed):
        count = add_image_sizes(fixed, image_root)
        done.append(f'meta.height, meta.width of {count} images')
    done += _add_part_boxes(fixed, model_path, report.pose_gender)
    fixed.generate_masks()
    fixed.compress()
    return fixed, done


def _stored_flat(data: HumanData) -> bool | None:
    """``flat_hand_mean`` of the file; None if absent or contradictory."""
    try:
        return hand_poses_are_flat(data)
    except HumanDataError:
        return None


def _add_part_boxes(
    data: HumanData, model_path: str | None, gender: str | None
) -> list[str]:
    """Boxes around the projected hands and faces of the posed bodies."""
    parts = unboxed_parts(data)
    rows = posable_rows(data, len(data))
    meta = data.get('meta', {})
    keys = ('focal_length', 'principal_point', 'height', 'width')
    columns = [np.asarray(meta.get(key, ()), float) for key in keys]
    if not parts or not len(rows):
        return []
    if any(len(np.atleast_1d(column)) != len(data) for column in columns):
        return [f'no boxes of {", ".join(parts)}: need meta.{", ".join(keys)}']
    focal, center, height, width = (
        column.reshape(len(data), -1)[rows] for column in columns
    )
    flat = bool(_stored_flat(data))
    cameras = Cameras(
        np.broadcast_to(focal, (len(rows), 2)),
        center,
        np.hstack((height, width)),
    )
    joints = pose_rows(data, rows, model_path, flat, gender)
    points = cameras.project(joints)
    boxes = box_columns(points, cameras.sizes)
    body = np.asarray(data['bbox_xywh'], float)[rows, :4]
    seen = torch.from_numpy(
        xywh_to_xyxy(boxes['bbox_xywh'][:, :4].astype(float))
    )
    overlap = box_iou(seen, torch.from_numpy(xywh_to_xyxy(body)))
    good = overlap.numpy() >= _MIN_IOU
    for part in parts:
        column = np.zeros((len(data), 5), np.float32)
        column[rows[good]] = boxes[f'{part}_bbox_xywh'][good]
        data[f'{part}_bbox_xywh'] = column
    return [
        f'boxes of {", ".join(parts)} from SMPL-X: {int(good.sum())} persons; '
        f'{int((~good).sum())} whose body is not in its box have none'
    ]


def _swap_eyes(data: HumanData, key: str) -> bool:
    """Swap the eyeballs of keypoints; False if their set has none."""
    joint_set = data.joint_set(key)
    names = [f'{side}_eyeball' for side in ('left', 'right')]
    if not set(names) <= set(joint_set.names):
        return False
    pair = list(joint_set.indices(names))
    points = np.array(data[key])
    points[:, pair] = points[:, pair[::-1]]
    data[key] = points
    return True


def select_rows(data: HumanData, rows: np.ndarray) -> HumanData:
    """Uncompressed copy with some of the rows.

    Args:
        data: The file.
        rows: Rows to take, in order.
    """
    count = len(data)

    def take(value: Any) -> Any:
        if isinstance(value, np.ndarray) and value.shape[:1] == (count,):
            return value[rows]
        if isinstance(value, (list, tuple)) and len(value) == count:
            return [value[row] for row in rows.tolist()]
        return value

    chosen = HumanData()
    for key in data:
        value = data[key]
        if key == 'frame_range':
            continue
        is_mask = key.endswith('_mask') and np.ndim(value) == 1
        if is_mask or key.endswith('_convention') or key == 'misc':
            chosen[key] = value
        elif isinstance(value, Mapping):
            chosen[key] = {name: take(part) for name, part in value.items()}
        else:
            chosen[key] = take(value)
    if 'frame_range' in data and 'image_path' in data:
        # Rows of an image are still contiguous.
        chosen.set_frame_range()
    return chosen
