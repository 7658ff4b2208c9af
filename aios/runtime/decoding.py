# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""From the outputs of an exported network to persons, in NumPy.

It does what :func:`aios.models.heads.decode_instances` does for one image.

Legend: ``P`` candidates, ``n`` persons that are returned.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from aios.body_models import (
    KeypointTargets,
    NumpySMPLXLayer,
    fit_to_keypoints,
)
from aios.structures import (
    PERSON_LABEL,
    Camera,
    cxcywh_to_xyxy,
    suppress_overlaps,
    weak_perspective_to_translation,
)
from aios.structures.decoding import (
    DecodingConfig,
    are_copies,
    sizes_fit,
)

from .rotations import matrix_to_axis_angle

_FIELDS = {
    'body_box': 'bboxes',
    'left_hand_box': 'lhand_bboxes',
    'right_hand_box': 'rhand_bboxes',
    'face_box': 'face_bboxes',
    'body_keypoints': 'keypoints',
}
_POSES = ('body_pose', 'left_hand_pose', 'right_hand_pose', 'jaw_pose')


def select_persons(
    logits: np.ndarray,
    boxes: np.ndarray,
    config: DecodingConfig,
    valid: np.ndarray | None = None,
    keypoints: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Choose the persons of an image.

    Args:
        logits: ``(P, num_classes)``.
        boxes: ``(P, 4)`` body boxes, cxcywh in any unit.
        config: What is wanted.
        valid: ``(P,)`` bool; others are never chosen.
        keypoints: ``(P, 17, 2)`` in the same unit, for ``nms_oks_thr``.

    Returns:
        Scores ``(n,)`` and indices ``(n,)``, best first.
    """
    with np.errstate(over='ignore'):
        scores = 1 / (1 + np.exp(-logits))
    if valid is not None:
        scores[~valid] = -1
    # The class is 1 in the network, whatever results call it.
    classes = np.arange(logits.shape[1])
    if config.person_class_only or config.person_label != PERSON_LABEL:
        scores, classes = scores[:, [PERSON_LABEL]], classes[[PERSON_LABEL]]
    order = np.argsort(-scores, axis=None, kind='stable')
    order = order[: config.max_per_img]
    index, labels = order // len(classes), classes[order % len(classes)]
    scores = scores.ravel()[order]
    keep = scores >= max(config.score_thr, 0)
    if config.suppresses:
        points = None if keypoints is None else keypoints[index]
        copies = are_copies(boxes[index], points, config)
        keep = suppress_overlaps(copies[None], keep[None])[0]
    keep &= labels == PERSON_LABEL
    return scores[keep], index[keep]


def decode_persons(
    outputs: Mapping[str, np.ndarray],
    seen: tuple[int, int],
    size: tuple[int, int],
    body_model: NumpySMPLXLayer,
    config: DecodingConfig,
) -> dict[str, np.ndarray]:
    """Persons of an image.

    Args:
        outputs: Those of an exported network, ``(P, ...)``.
        seen: ``(width, height)`` of the image as the network saw it.
        size: ``(width, height)`` of the image.
        body_model: Poses the bodies.
        config: What is wanted.

    Returns:
        Fields ``(n, ...)`` that
        :meth:`aios.results.FrameResult.from_prediction` takes, in pixels of
        the image, and ``cam_K`` ``(3, 3)``.
    """
    pixels = np.asarray(seen, np.float32)
    boxes, valid = outputs['body_box'] * np.tile(pixels, 2), None
    if 'levels' in outputs:
        areas = boxes[:, 2] * boxes[:, 3]
        valid = sizes_fit(outputs['levels'], areas, config.pyramid)
    scores, index = select_persons(
        outputs['logits'],
        boxes,
        config,
        valid,
        outputs['body_keypoints'] * pixels,
    )
    chosen = {name: value[index] for name, value in outputs.items()}
    scale = np.divide(size, seen)
    camera = Camera.virtual(seen[1], seen[0]).resize(*size)
    persons: dict[str, np.ndarray] = {'scores': scores, 'cam_K': camera.K}
    for name, field in _FIELDS.items():
        value = chosen[name]
        if name.endswith('_box'):
            value = cxcywh_to_xyxy(value).reshape(-1, 2, 2)
        value = value * np.multiply(scale, seen)
        persons[field] = value.reshape(chosen[name].shape)
    if config.keypoint_fit_steps:
        chosen |= _fit_keypoints(
            chosen, seen, body_model, config.keypoint_fit_steps
        )
    parameters = _body_parameters(chosen)
    body = body_model(**parameters, return_vertices=config.with_vertices)
    for name, value in parameters.items():
        width = math.prod(value.shape[1:])  # there may be no persons
        persons[f'smplx_{name}'] = value.reshape(len(value), width)
    transl = weak_perspective_to_translation(chosen['camera'])
    persons |= {
        'smplx_transl': transl,
        'joints3d': body.joints,
        'joints2d': camera.project(body.joints + transl[:, None]),
    }
    if body.vertices is not None:
        persons['vertices'] = body.vertices
    return persons


def _fit_keypoints(
    chosen: Mapping[str, np.ndarray],
    seen: tuple[int, int],
    body_model: NumpySMPLXLayer,
    steps: int,
) -> dict[str, np.ndarray]:
    """Outputs that differ when bodies are bent to their keypoints."""
    parameters = _body_parameters(chosen)
    body_pose, camera = fit_to_keypoints(
        chosen['body_pose'],
        chosen['camera'],
        body_model(**parameters, return_vertices=False).joints,
        KeypointTargets.of_network(
            chosen['body_box'],
            chosen['body_keypoints'],
            chosen.get('keypoint_scores'),
            seen,
        ),
        body_model.parents,
        steps,
    )
    return {'body_pose': body_pose, 'camera': camera}


def _body_parameters(
    chosen: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """Arguments of a body model, poses as axis-angle ``(n, K, 3)``."""
    matrices = [chosen[name] for name in _POSES]
    ends = np.cumsum([matrix.shape[1] for matrix in matrices])
    vectors = matrix_to_axis_angle(np.concatenate(matrices, axis=1))
    pose, *others = np.split(vectors, ends[:-1], axis=1)
    return {
        'betas': chosen['betas'],
        'expression': chosen['expression'],
        'global_orient': pose[:, :1],
        'body_pose': pose[:, 1:],
        **dict(zip(_POSES[1:], others, strict=True)),
    }
