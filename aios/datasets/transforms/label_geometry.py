# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Geometric changes of labels.

``results['gt_persons']`` holds the arrays of
:data:`aios.structures.GT_FIELDS`, ``n`` persons, in pixels of the current
image; ``results['ignored_bboxes']``, if present, holds boxes of crowds.  All
functions change ``results`` in place.  A point moves with its pixel:
``x' = sx · x``, without half-pixel shifts, and ``x' = w - x`` when mirrored
(the convention of AiOS and mmdet).
"""

from __future__ import annotations

import numpy as np

from aios.structures import (
    PARTS,
    SMPLX_137,
    SMPLX_ROTATIONS_53,
    flip_axis_angle,
)

BOX_FIELDS = ('bboxes', *(f'{part}_bboxes' for part in PARTS))

LABEL_RECORD = 'label_record'
"""Key of the geometry of the labels, beside that of the image."""

_RECORDED = ('homography_matrix', 'scale_factor', 'flip', 'crop_offset')

# Fields of hands that are swapped by mirroring.
_SIDED_FIELDS = ('bboxes', 'valid')
_JOINT_FIELDS = (
    'keypoints',
    'keypoints_weight',
    'keypoints_visible',
    'keypoints3d',
    'keypoints3d_visible',
)
_MIRROR_X = np.array((-1, 1, 1), np.float32)
_ROTATION_FIELDS = ('smplx_pose', 'smplx_pose_valid')


def start_record(results: dict) -> None:
    """Initialize the record of the image's geometry."""
    results['homography_matrix'] = np.eye(3)
    results['scale_factor'] = (1.0, 1.0)
    results['crop_offset'] = (0.0, 0.0)
    results['flip'] = False
    note_geometry(results)


def note_geometry(results: dict) -> None:
    """Record that the labels match the geometry of the image.

    A transform that moves both image and labels calls this last.
    """
    size = results.get('img_shape')
    results[LABEL_RECORD] = {
        **{key: results[key] for key in _RECORDED if key in results},
        'img_shape': None if size is None else tuple(size[:2]),
    }
    results.pop('flip_direction', None)  # of mmcv, for the last flip only


def _check_record(results: dict) -> None:
    if 'homography_matrix' not in results:
        raise ValueError(
            f'{results.get("img_path", "an image")}: LoadHumanAnnotations '
            'must come before transforms that move the image, also in '
            'pipelines of images without labels'
        )


def rescale_labels(results: dict, size: tuple[int, int]) -> None:
    """Resize labels to an image of size ``(height, width)``."""
    height, width = results['img_shape']
    scale = (size[1] / width, size[0] / height)
    move_labels(results, scale, (0.0, 0.0), size)


def crop_labels(results: dict, region: tuple[int, int, int, int]) -> None:
    """Crop labels to ``(x0, y0, width, height)``; all persons are kept."""
    x0, y0, width, height = region
    move_labels(results, (1.0, 1.0), (-x0, -y0), (height, width))


def move_labels(
    results: dict,
    scale: tuple[float, float],
    offset: tuple[float, float],
    size: tuple[int, int],
) -> None:
    """Apply ``x' = scale · x + offset`` to all fields in pixels.

    Args:
        results: The record of a pipeline.
        scale: ``(sx, sy)``.
        offset: Pixels of the new image.
        size: ``(height, width)`` of the new image.

    Raises:
        ValueError: If the pipeline has not loaded the labels.
    """
    _check_record(results)
    if offset != (0.0, 0.0):
        seen = np.array([-offset[0] / scale[0], -offset[1] / scale[1], 1])
        corner = np.linalg.solve(results['homography_matrix'], seen)
        results['crop_offset'] = (float(corner[0]), float(corner[1]))
    persons = results.get('gt_persons')
    factor = np.asarray(scale, np.float32)
    shift = np.asarray(offset, np.float32)
    if persons is not None:  # absent in inference
        persons['keypoints'] = persons['keypoints'] * factor + shift
        for name in BOX_FIELDS:
            box_shift = np.tile(shift, 2)
            persons[name] = persons[name] * np.tile(factor, 2) + box_shift
        if 'cameras' in persons:  # fx, fy, cx, cy of each person
            moved = persons['cameras'] * np.tile(factor, 2)
            moved[:, 2:] += shift
            persons['cameras'] = moved
    if 'ignored_bboxes' in results:
        boxes = results['ignored_bboxes'] * np.tile(factor, 2)
        results['ignored_bboxes'] = boxes + np.tile(shift, 2)
    matrix = np.diag((*scale, 1.0))
    matrix[:2, 2] = offset
    results['homography_matrix'] = matrix @ results['homography_matrix']
    if 'cam_K' in results:
        results['cam_K'] = matrix @ results['cam_K']
    results['img_shape'] = tuple(size)
    old = results['scale_factor']
    results['scale_factor'] = (old[0] * scale[0], old[1] * scale[1])
    note_geometry(results)


def flip_labels(results: dict) -> None:
    """Mirror labels.

    Left and right are swapped in joints, rotations, hand boxes and their
    validity flags.  Rotations are mirrored, ``(a, b, c) -> (a, -b, -c)``;
    shape, expression and gender do not change.

    Raises:
        ValueError: If the pipeline has not loaded the labels.
    """
    _check_record(results)
    width = results['img_shape'][1]
    if 'gt_persons' in results:  # absent in inference
        _flip_persons(results['gt_persons'], width)
    if 'ignored_bboxes' in results:
        boxes = _mirror_boxes(results['ignored_bboxes'], width)
        results['ignored_bboxes'] = boxes
    mirror = np.array([[-1.0, 0, width], [0, 1, 0], [0, 0, 1]])
    results['homography_matrix'] = mirror @ results['homography_matrix']
    if 'cam_K' in results:
        camera = results['cam_K'].copy()
        # The 3-D points are mirrored, so the focal length stays positive.
        camera[0, 2] = width - camera[0, 2]
        results['cam_K'] = camera
    results['flip'] = not results['flip']
    note_geometry(results)


def select_persons(results: dict, keep: np.ndarray) -> None:
    """Keep the persons of a mask or an index."""
    persons = results['gt_persons']
    results['gt_persons'] = {k: value[keep] for k, value in persons.items()}


def points_inside(points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """``(...)`` bool: points ``(..., 2)`` in ``[0, width) × [0, height)``."""
    height, width = size
    inside = (points >= 0) & (points < (width, height))
    return np.asarray(inside.all(axis=-1))


def _flip_persons(persons: dict[str, np.ndarray], width: int) -> None:
    joints = SMPLX_137.flip_permutation
    rotations = SMPLX_ROTATIONS_53.flip_permutation
    for name in _JOINT_FIELDS:
        persons[name] = persons[name][:, joints]
    for name in _ROTATION_FIELDS:
        persons[name] = persons[name][:, rotations]
    for name in _SIDED_FIELDS:
        left, right = f'lhand_{name}', f'rhand_{name}'
        persons[left], persons[right] = persons[right], persons[left]
    persons['keypoints'] = _mirror(persons['keypoints'], width)
    for name in BOX_FIELDS:
        persons[name] = _mirror_boxes(persons[name], width)
    for name in ('keypoints3d', 'smplx_transl'):
        persons[name] = persons[name] * _MIRROR_X
    persons['smplx_pose'] = flip_axis_angle(persons['smplx_pose'])
    if 'cameras' in persons:
        cameras = persons['cameras'].copy()
        cameras[:, 2] = width - cameras[:, 2]
        persons['cameras'] = cameras


def _mirror(points: np.ndarray, width: int) -> np.ndarray:
    mirrored = points.copy()
    mirrored[..., 0] = width - points[..., 0]
    return mirrored


def _mirror_boxes(boxes: np.ndarray, width: int) -> np.ndarray:
    mirrored = _mirror(boxes.reshape(-1, 2, 2), width)
    # Restore the order of the corners.
    mirrored[..., 0] = mirrored[:, ::-1, 0]
    return mirrored.reshape(-1, 4)
