# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Ground truth of an image, in the pixels of predictions.

Datasets give ground truth in pixels of the network's input, while models
return persons in pixels of the original image.  This module converts ground
truth to NumPy arrays in original pixels, as
:func:`aios.results.predictions_of` does for predictions.

Symbols: ``n`` persons, ``V`` vertices, ``J`` joints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from aios.body_models import BodyPoser, ground_truth_parameters
from aios.results import as_array, finite_rows
from aios.structures import PARTS

_BOXES = ('bboxes', *(f'{part}_bboxes' for part in PARTS))
_LABELS = (
    *('bboxes', 'keypoints', 'keypoints3d'),
    *('smplx_pose', 'smplx_betas', 'smplx_expression'),
)


def name_of(sample: Mapping[str, Any]) -> str:
    """Name of a sample in errors: the path of its image, or its number."""
    return str(sample.get('img_path', f'image {sample.get("img_id")}'))


def ground_truth_of(sample: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Ground truth of a sample, in pixels of the original image.

    Args:
        sample: With ``gt_instances`` and optionally ``homography_matrix``
            ``(3, 3)`` (original to current pixels) and ``cam_K``.

    Returns:
        The fields of :data:`aios.structures.GT_FIELDS` and, if the sample
        has them, ``cam_K`` ``(3, 3)``, ``cameras`` ``(n, 4)`` of each person
        (fx, fy, cx, cy) and ``vertices``.

    Raises:
        ValueError: If the sample has no labels or was mirrored, or a label
            is not finite.
    """
    if 'gt_instances' not in sample:
        raise ValueError(
            f'{name_of(sample)}: no labels (gt_instances); '
            'this metric needs an annotated dataset and LoadHumanAnnotations '
            'in its pipeline'
        )
    if sample.get('flip'):
        raise ValueError(
            f'{name_of(sample)}: is flipped; evaluation '
            'needs a pipeline without WholeBodyFlip'
        )
    given = dict(sample['gt_instances'])
    persons = {name: as_array(value) for name, value in given.items()}
    for name in _LABELS:
        bad = ~finite_rows(persons[name])
        if bad.any():
            raise ValueError(
                f'{name_of(sample)}: {name} of person '
                f'{int(bad.argmax())} is not finite'
            )
    inverse = _to_original(sample)
    scale, offset = inverse.diagonal()[:2], inverse[:2, 2]
    persons['keypoints'] = persons['keypoints'] * scale + offset
    for name in _BOXES:
        factor, shift = np.tile(scale, 2), np.tile(offset, 2)
        persons[name] = persons[name] * factor + shift
    if 'cameras' in persons:
        cameras = persons['cameras'] * np.tile(scale, 2)
        cameras[:, 2:] += offset
        persons['cameras'] = cameras
    if sample.get('cam_K') is not None:
        persons['cam_K'] = inverse @ as_array(sample['cam_K'])
    return persons


def crowds_of(sample: Mapping[str, Any]) -> np.ndarray:
    """Boxes of the crowds of a sample, in pixels of the original image.

    Args:
        sample: Optionally with ``ignored_instances`` and
            ``homography_matrix``.

    Returns:
        ``(q, 4)`` xyxy.
    """
    crowds = sample.get('ignored_instances')
    if not crowds:
        return np.zeros((0, 4))
    inverse = _to_original(sample)
    scale, offset = inverse.diagonal()[:2], inverse[:2, 2]
    boxes = as_array(crowds['bboxes'])
    return boxes * np.tile(scale, 2) + np.tile(offset, 2)


def _to_original(sample: Mapping[str, Any]) -> np.ndarray:
    """Matrix from current pixels to those of the original image."""
    matrix = np.asarray(sample.get('homography_matrix', np.eye(3)), float)
    return np.linalg.inv(matrix)


def inside_image(
    sample: Mapping[str, Any],
    persons: Mapping[str, np.ndarray],
    index: np.ndarray,
    offset: np.ndarray,
) -> Callable[[np.ndarray], np.ndarray]:
    """Test whether points of true bodies lie in the image.

    Args:
        sample: With ``ori_shape``.
        persons: Output of :func:`ground_truth_of`, with a camera per person
            (``cameras``, made for crops) or of the image.
        index: ``(n,)`` rows of the persons.
        offset: ``(n, 3)`` translation of their bodies in camera space.

    Returns:
        A function from ``(n, K, 3)`` points of those bodies, meters, to
        ``(n, K)`` bool.

    Raises:
        ValueError: If the sample, or one of the persons, has no camera.
    """
    cameras = np.full((1, 4), np.nan)
    if 'cameras' in persons:
        cameras = persons['cameras'][index]
    elif 'cam_K' in persons:
        cameras = persons['cam_K'][[0, 1, 0, 1], [0, 1, 2, 2]][None]
    if not np.isfinite(cameras).all():
        raise ValueError(
            f'{name_of(sample)}: has no camera to test '
            'which points are in the image; the annotation file needs '
            'meta.focal_length and meta.principal_point'
        )
    focal, center = cameras[:, None, :2], cameras[:, None, 2:]
    size = np.array(sample['ori_shape'][1::-1])

    def inside(points: np.ndarray) -> np.ndarray:
        points = points + offset[:, None]
        depth = points[..., 2:]
        front = depth > 0
        pixels = points[..., :2] / np.where(front, depth, 1) * focal + center
        seen = front & (pixels > 0) & (pixels < size)
        return np.asarray(seen.all(-1))

    return inside


class GroundTruthBodies:
    """Poses true bodies, each with the model of its gender.

    Args:
        body_model: Config of an SMPL-X layer.  Its ``gender``, if set,
            applies to all persons.
    """

    def __init__(self, body_model: Mapping[str, Any]) -> None:
        self._poser = BodyPoser(body_model)

    def __call__(
        self, persons: Mapping[str, np.ndarray], index: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pose some of the persons, without translation.

        Args:
            persons: Fields of :data:`aios.structures.GT_FIELDS`.
            index: ``(n,)`` rows of the persons.

        Returns:
            Vertices ``(n, V, 3)`` and joints ``(n, J, 3)``, meters.  SMPL-X
            joints are those of the set ``smplx_144``.

        Raises:
            MissingBodyModelError: If a file of the body model is missing.
        """
        body = self._poser(
            self.parameters(persons, index), persons['gender'][index]
        )
        return body.vertices, body.joints

    @staticmethod
    def parameters(
        persons: Mapping[str, np.ndarray], index: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Arguments of the layer for some of the persons."""
        return ground_truth_parameters(persons, index)
