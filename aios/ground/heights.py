# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Set known heights of persons, and their depths accordingly.

A single image does not distinguish a near small person from a distant tall
one.  A person scaled by a factor moves away from the camera by the same factor
and looks the same in the image.

Symbols: ``n`` persons, ``N`` rows of a sequence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from aios.body_models import BodyPoser
from aios.results import SMPLX_ARGUMENTS, SequenceResult
from aios.structures import PELVIS, project_points

MAX_CHANGE = 5.0
"""Largest norm of the change of shape coefficients; larger changes distort
bodies."""


def standing_heights(betas: np.ndarray, poser: BodyPoser) -> np.ndarray:
    """Heights of persons who stand upright.

    Args:
        betas: ``(n, 10)``.
        poser: Their body model.

    Returns:
        ``(n,)`` meters from the soles to the top of the head.
    """
    mean, slope = _linear_height(poser)
    return mean + betas.astype(np.float64) @ slope


def height_limits(
    heights: np.ndarray, poser: BodyPoser
) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest heights, ``(n,)`` each, that can be set."""
    _, slope = _linear_height(poser)
    # A margin for rounding errors.
    change = 0.9999 * MAX_CHANGE * float(np.linalg.norm(slope))
    return heights - change, heights + change


def _linear_height(poser: BodyPoser) -> tuple[float, np.ndarray]:
    """Height of the mean body, and its derivative ``(10,)`` by the shape.

    Vertices of the rest pose are linear in the shape, and the highest and the
    lowest vertex are assumed to be the same for all shapes.
    """
    betas = np.eye(11, 10, -1, np.float32)
    vertices = poser({'betas': betas}).vertices.astype(np.float64)
    heights = np.ptp(vertices[..., 1], axis=1)
    return float(heights[0]), heights[1:] - heights[0]


def set_heights(
    sequence: SequenceResult,
    heights: Mapping[int | None, float],
    poser: BodyPoser,
) -> SequenceResult:
    """Set the heights of persons.

    Persons move along the viewing rays of their pelvises. A person whose id
    is given gets the same shape in all frames.

    Args:
        sequence: With ids of a tracker, if ``heights`` has ids.
        heights: Meters by ``person_id``. The value of ``None`` is the median
            height of all others, whose relative heights are kept.
        poser: Body model of the results.

    Returns:
        The persons with new joints and without meshes. Persons without a
        given height are not changed.

    Raises:
        ValueError: If an id is unknown, a height is not possible for the
            body model, a single person would leave the floor, or the bodies
            have no SMPL-X parameters.
    """
    sequence.check_parameters()
    heights = dict(heights)
    common = heights.pop(None, None)
    _check(sequence, heights, common)
    betas = sequence.betas.astype(np.float64)
    seen = standing_heights(betas, poser)
    wanted = np.full(len(betas), np.nan)
    for person, height in heights.items():
        rows = sequence.person_id == person
        betas[rows] = betas[rows].mean(0)
        wanted[rows] = height
    before = standing_heights(betas, poser)
    factor, others = 1.0, np.isnan(wanted)
    if common is not None and others.any():
        factor = common / float(np.median(before[others]))
        wanted[others] = factor * before[others]
    changed = np.isfinite(wanted)
    if not changed.any():
        return sequence
    _, slope = _linear_height(poser)
    growth = np.where(changed, wanted - before, 0)
    _check_growth(growth, before, slope)
    betas += growth[:, None] * slope / (slope @ slope)
    # By the height in that frame, so that the image does not change.
    scale = np.where(changed, wanted / seen, 1)
    moved = _moved(sequence, changed, betas, scale, poser)
    if sequence.floor is not None:
        moved = replace(moved, floor=sequence.floor * [1, 1, 1, factor])
    return moved


def _check(
    sequence: SequenceResult,
    heights: Mapping[int | None, float],
    common: float | None,
) -> None:
    for height in (*heights.values(), common):
        if height is not None and not 0 < height < np.inf:
            raise ValueError(
                f'a height must be a positive number of meters, got {height}'
            )
    if heights and sequence.are_images:
        raise ValueError(
            'heights of single persons need ids of a video; in separate '
            'images the same id is not the same person'
        )
    if heights and sequence.floor is not None:
        raise ValueError(
            'heights of single persons would move them off the floor; set '
            'heights before grounding'
        )
    known = sequence.person_ids.tolist()
    for person in heights:
        if person not in known:
            raise ValueError(
                f'there is no person {person}; ids are '
                f'{", ".join(map(str, known))}'
            )


def _check_growth(
    growth: np.ndarray, before: np.ndarray, slope: np.ndarray
) -> None:
    limit = MAX_CHANGE * float(np.linalg.norm(slope))
    row = int(np.abs(growth).argmax())
    if abs(growth[row]) > limit:
        raise ValueError(
            f'the height of a person estimated as {before[row]:.2f} m cannot '
            f'be set to {before[row] + growth[row]:.2f} m; a change of more '
            f'than {limit:.2f} m distorts the body'
        )


def _moved(
    sequence: SequenceResult,
    changed: np.ndarray,
    betas: np.ndarray,
    scale: np.ndarray,
    poser: BodyPoser,
) -> SequenceResult:
    """Set shapes of the rows ``changed``, and scale their depths."""
    parameters = {n: getattr(sequence, n)[changed] for n in SMPLX_ARGUMENTS}
    parameters['betas'] = betas[changed].astype(np.float32)
    joints = poser(parameters, return_vertices=False).joints
    pelvis = sequence.joints3d[changed, PELVIS] * scale[changed, None]
    shift = pelvis - joints[:, PELVIS]
    joints = joints + shift[:, None]
    K = sequence.K[sequence.frame_index[changed]]
    pixels = project_points(joints.astype(float), K)
    new = {
        'betas': parameters['betas'],
        'transl': parameters['transl'] + shift,
        'joints3d': joints,
        'joints2d': pixels,
    }
    arrays = {name: getattr(sequence, name).copy() for name in new}
    for name, values in new.items():
        arrays[name][changed] = values
    return replace(sequence, **arrays, vertices=None)
