# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Ground truth and predictions of a picture, in the same pixels.

Data sets deliver ground truth in pixels of the picture the network sees,
models return people in pixels of the original picture.  Here both are NumPy
arrays in original pixels.

Symbols: ``n`` persons, ``V`` vertices, ``J`` joints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aios.body_models import BodyPoser, ground_truth_parameters
from aios.structures import PARTS

__all__ = [
    'PERSON_LABEL',
    'GroundTruthBodies',
    'as_arrays',
    'finite_people',
    'finite_predictions_of',
    'ground_truth_of',
    'inside_picture',
    'predictions_of',
]

PERSON_LABEL = 1
"""Class of persons; class 0 is never a target."""

_BOXES = ('bboxes', *(f'{part}_bboxes' for part in PARTS))
_LABELS = (
    *('bboxes', 'keypoints', 'keypoints3d'),
    *('smplx_pose', 'smplx_betas', 'smplx_expression'),
)


def as_arrays(instances: Mapping[str, Any]) -> dict[str, Any]:
    """Copy with tensors and box structures as NumPy arrays.

    Args:
        instances: A mapping, such as ``InstanceData.to_dict()``.
    """
    return {name: _as_array(value) for name, value in instances.items()}


def ground_truth_of(sample: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Ground truth of a sample, in pixels of the original picture.

    Args:
        sample: With ``gt_instances`` and, if the picture was changed,
            ``homography_matrix`` ``(3, 3)`` (original to current pixels) and
            ``cam_K``.

    Returns:
        The fields of :data:`aios.structures.GT_FIELDS`, and where the sample
        has them ``cam_K`` ``(3, 3)``, ``cameras`` ``(n, 4)`` of each person
        (fx, fy, cx, cy) and ``vertices``.

    Raises:
        ValueError: If the sample was mirrored: it is another picture; or if
            a label is not finite.
    """
    if sample.get('flip'):
        raise ValueError(
            f'{sample.get("img_path", "a sample")} was mirrored; use a '
            'pipeline without WholeBodyFlip for evaluation'
        )
    persons = as_arrays(sample['gt_instances'])
    for name in _LABELS:
        bad = ~_finite_rows(persons[name])
        if bad.any():
            raise ValueError(
                f'{sample.get("img_path", "a sample")}: {name} of person '
                f'{int(bad.argmax())} is not finite'
            )
    matrix = np.asarray(sample.get('homography_matrix', np.eye(3)), float)
    inverse = np.linalg.inv(matrix)
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
        persons['cam_K'] = inverse @ _as_array(sample['cam_K'])
    return persons


def predictions_of(
    sample: Mapping[str, Any], score_thr: float = 0.0
) -> dict[str, Any]:
    """Predicted persons of a sample.

    Args:
        sample: With ``pred_instances``, see
            :meth:`aios.models.heads.AiOSHead.predict`.
        score_thr: Persons with a lower score are left out.

    Returns:
        The fields of the persons that are left; other entries unchanged.
    """
    fields = dict(sample['pred_instances'])
    # Candidates are ranked with every class; class 0 is nobody.
    is_person = _is_person(fields)
    fields.pop('person_label', None)
    scores = _as_array(fields['scores'])
    keep = np.flatnonzero((scores >= score_thr) & is_person)
    camera = fields.pop('cam_K', None)
    people: dict[str, Any] = {}
    for name, value in fields.items():
        value = getattr(value, 'tensor', value)
        if isinstance(value, Tensor):
            # Choose first: meshes are large and may be on another device.
            value = value[torch.from_numpy(keep).to(value.device)]
            people[name] = _as_array(value)
        else:
            people[name] = np.asarray(value)[keep]
    if camera is not None:
        people['cam_K'] = _as_array(camera)
    return people


def finite_predictions_of(
    sample: Mapping[str, Any], score_thr: float, fields: Sequence[str]
) -> tuple[dict[str, Any], int]:
    """Predicted persons of a sample, without broken ones.

    Args:
        sample: See :func:`predictions_of`.
        score_thr: See there.
        fields: See :func:`finite_people`.

    Returns:
        Persons, and how many were left out because they are not finite.
    """
    people, broken = finite_people(predictions_of(sample, score_thr), fields)
    # A score of NaN reaches no threshold.
    predicted = sample['pred_instances']
    nameless = np.isnan(_as_array(predicted['scores'])) & _is_person(predicted)
    return people, broken + int(nameless.sum())


def _is_person(fields: Mapping[str, Any]) -> np.ndarray:
    label = fields.get('person_label', PERSON_LABEL)
    return np.asarray(_as_array(fields['labels']) == label)


def finite_people(
    people: Mapping[str, Any], fields: Sequence[str]
) -> tuple[dict[str, Any], int]:
    """Leave out persons with NaN or infinity, as of a diverged network.

    Numbers that float32 cannot hold count as infinite.

    Args:
        people: Arrays ``(P, ...)`` of :func:`predictions_of`, and perhaps
            ``cam_K``.
        fields: What is looked at, beside scores; names that are not there
            are skipped.

    Returns:
        The others, and how many were left out.
    """
    finite = np.isfinite(people['scores'])
    for name in fields:
        if name in people:
            finite &= _finite_rows(people[name])
    broken = int((~finite).sum())
    if not broken:
        return dict(people), 0
    kept = {
        name: value if name == 'cam_K' else value[finite]
        for name, value in people.items()
    }
    return kept, broken


def inside_picture(
    sample: Mapping[str, Any],
    persons: Mapping[str, np.ndarray],
    index: np.ndarray,
    offset: np.ndarray,
) -> Callable[[np.ndarray], np.ndarray]:
    """Whether points of true bodies are seen by the camera.

    Args:
        sample: With ``ori_shape``.
        persons: As :func:`ground_truth_of` returns them, with a camera of
            each person (``cameras``, made for crops) or of the picture.
        index: ``(n,)`` which persons.
        offset: ``(n, 3)`` where in camera space their bodies are.

    Returns:
        A function from ``(n, K, 3)`` points of those bodies, metres, to
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
            f'{sample.get("img_path", "a sample")} has no camera; the '
            'annotation file needs meta.focal_length and '
            'meta.principal_point to tell which points are in the picture'
        )
    focal, centre = cameras[:, None, :2], cameras[:, None, 2:]
    size = np.array(sample['ori_shape'][1::-1])

    def inside(points: np.ndarray) -> np.ndarray:
        points = points + offset[:, None]
        depth = points[..., 2:]
        front = depth > 0
        pixels = points[..., :2] / np.where(front, depth, 1) * focal + centre
        seen = front & (pixels > 0) & (pixels < size)
        return np.asarray(seen.all(-1))

    return inside


class GroundTruthBodies:
    """Poses true bodies, each with the model of its gender.

    Args:
        body_model: Config of an SMPL-X layer.  With ``gender`` everybody
            gets that one.
    """

    def __init__(self, body_model: Mapping[str, Any]) -> None:
        self._poser = BodyPoser(body_model)

    def __call__(
        self, persons: Mapping[str, np.ndarray], index: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pose some of the persons, without translation.

        Args:
            persons: Fields of :data:`aios.structures.GT_FIELDS`.
            index: ``(n,)`` which ones.

        Returns:
            Vertices ``(n, V, 3)`` and joints ``(n, J, 3)``, metres; of SMPL-X
            those of the set ``smplx_144``.

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


def _finite_rows(values: np.ndarray) -> np.ndarray:
    # Squares of what float32 can hold are finite in float64.
    with np.errstate(over='ignore'):
        finite = np.isfinite(np.asarray(values, np.float32))
    return np.asarray(finite.all(axis=tuple(range(1, np.ndim(values)))))


def _as_array(value: Any) -> Any:
    value = getattr(value, 'tensor', value)
    if isinstance(value, Tensor):
        return value.detach().cpu().numpy()
    return value
