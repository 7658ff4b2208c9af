# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Apply transforms of mmcv and mmdet to the labels of this project.

Those transforms change ``gt_bboxes``, not our labels.  Their record of the
geometry (``homography_matrix``, ``scale_factor``, ``flip_direction``,
``img_shape``) is compared with that of the labels.  Flips, resizes and crops
are applied to the labels; other transforms raise an error.
"""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

import numpy as np

from .label_geometry import (
    LABEL_RECORD,
    flip_labels,
    move_labels,
    note_geometry,
)

_ADVICE = (
    'left the labels behind. Use WholeBodyFlip, WholeBodyResize, '
    'WholeBodyRandomResize or PersonGroupCrop; of mmcv and mmdet, labels '
    'follow horizontal RandomFlip, Resize, Pad and mmdet.RandomCrop (see '
    'docs/en/human_data.md#transforms)'
)


class _Motion(NamedTuple):
    """``x' = scale · x + offset``, then mirrored within the new width."""

    scale: tuple[float, float]
    offset: tuple[float, float]
    mirrored: bool


def follow_image(results: dict, step: str = 'a transform') -> None:
    """Apply the latest change of the image to the labels.

    Args:
        results: The record of a pipeline, changed in place.  Without
            :func:`~.label_geometry.start_record` nothing is done.
        step: Name of the transform, for the message.

    Raises:
        ValueError: If the labels cannot follow; the message names the
            transform, the field, the image, and the alternatives.
    """
    known = results.get(LABEL_RECORD)
    if known is None or 'img_shape' not in results:
        return
    if known['img_shape'] is None:  # the image was just read
        note_geometry(results)
        return
    size = tuple(results['img_shape'][:2])
    if 'img' in results and results['img'].shape[:2] != size:
        height, width = results['img'].shape[:2]
        _refuse(results, step, f'gave img {(height, width)}, img_shape {size}')
    motion = _recorded(results, known, size, step)
    results |= known  # the functions below write the record
    results['img_shape'] = known['img_shape']
    if motion != _Motion((1.0, 1.0), (0.0, 0.0), False):
        move_labels(results, motion.scale, motion.offset, size)
        if motion.mirrored:
            flip_labels(results)
    results['img_shape'] = size
    note_geometry(results)


def _recorded(
    results: dict, known: dict[str, Any], size: tuple[int, ...], step: str
) -> _Motion:
    before = np.asarray(known['homography_matrix'], float)
    after = np.asarray(results['homography_matrix'], float)
    if not np.array_equal(before, after):
        return _from_matrix(results, after @ np.linalg.inv(before), size, step)
    direction = results.get('flip_direction')
    if direction not in (None, 'horizontal'):
        _refuse(results, step, f'set flip_direction to {direction!r}')
    scale = (1.0, 1.0)
    if size != tuple(known['img_shape']):
        scale = _scale(results, known, size, step)
    return _Motion(scale, (0.0, 0.0), direction == 'horizontal')


def _from_matrix(
    results: dict, matrix: np.ndarray, size: tuple[int, ...], step: str
) -> _Motion:
    """Motion from ``homography_matrix``, which mmdet's transforms update."""
    tolerance = 1e-4
    turned = np.abs(matrix[[0, 1, 2, 2], [1, 0, 0, 1]]).max() > tolerance
    if turned or matrix[1, 1] < tolerance or abs(matrix[0, 0]) < tolerance:
        rows = np.round(matrix[:2], 3).tolist()
        _refuse(results, step, f'multiplied homography_matrix by {rows}')
    (sx, _, x), (_, sy, y) = matrix[:2].tolist()
    if sx > 0:
        return _Motion((sx, sy), (x, y), False)
    return _Motion((-sx, sy), (size[1] - x, y), True)


def _scale(
    results: dict, known: dict[str, Any], size: tuple[int, ...], step: str
) -> tuple[float, float]:
    """Scale from ``scale_factor`` and sizes, which mmcv's transforms set."""
    height, width = known['img_shape']
    factors = results['scale_factor']
    exact = size[1] / width, size[0] / height
    if np.allclose(factors, exact, rtol=0, atol=1 / min(width, height)):
        return exact
    is_padded = tuple(results.get('pad_shape', ())[:2]) == size
    if not is_padded or size[0] < height or size[1] < width:
        was = f'from {(height, width)} to {size}'
        factor = f'scale_factor to {tuple(factors)}'
        _refuse(results, step, f'changed img_shape {was} and {factor}')
    return 1.0, 1.0


def _refuse(results: dict, step: str, what: str) -> NoReturn:
    where = results.get('img_path', 'an image')
    raise ValueError(f'{step} {what} ({where}) and {_ADVICE}')
