# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Decode outputs of an exported network to persons, in NumPy.

The counterpart of :func:`aios.models.heads.decode_instances` for one image.

Legend: ``P`` candidates, ``n`` selected persons.
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
from aios.structures.decoding import DecodingConfig, are_copies, sizes_fit

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
    """Select the persons of an image.

    Args:
        logits: ``(P, num_classes)``.
        boxes: ``(P, 4)`` body boxes, cxcywh in any unit.
        config: Options.
        valid: ``(P,)`` bool; other candidates are never selected.
        keypoints: ``(P, 17, 2)`` in the same unit, for ``nms_oks_thr``
            and ``nms_head_thr``.

    Returns:
        Scores ``(n,)`` and indices ``(n,)``, best first.
    """
    with np.errstate(over='ignore'):
        scores = 1 / (1 + np.exp(-logits))
    if valid is not None:
        scores[~valid] = -1
    # The class is always 1 in the network.
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
    input_size: tuple[int, int],
    size: tuple[int, int],
    body_model: NumpySMPLXLayer,
    config: DecodingConfig,
) -> dict[str, np.ndarray]:
    """Decode the persons of an image.

    Args:
        outputs: Outputs of an exported network, ``(P, ...)``.
        input_size: ``(width, height)`` of the network input.
        size: ``(width, height)`` of the image.
        body_model: The body model.
        config: Options.

    Returns:
        Fields ``(n, ...)`` for
        :meth:`aios.results.FrameResult.from_prediction`, in pixels of the
        image, and ``cam_K`` ``(3, 3)``.
    """
    pixels = np.asarray(input_size, np.float32)
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
    selected = {name: value[index] for name, value in outputs.items()}
    scale = np.divide(size, input_size)
    camera = Camera.virtual(*input_size[::-1]).resize(*size)
    persons: dict[str, np.ndarray] = {'scores': scores, 'cam_K': camera.K}
    for name, field in _FIELDS.items():
        value = selected[name]
        if name.endswith('_box'):
            value = cxcywh_to_xyxy(value).reshape(-1, 2, 2)
        value = value * np.multiply(scale, input_size)
        persons[field] = value.reshape(selected[name].shape)
    if config.keypoint_fit_steps:
        selected |= _fit_keypoints(
            selected, input_size, body_model, config.keypoint_fit_steps
        )
    parameters = _body_parameters(selected)
    body = body_model(**parameters, return_vertices=config.with_vertices)
    for name, value in parameters.items():
        width = math.prod(value.shape[1:])  # there may be no persons
        persons[f'smplx_{name}'] = value.reshape(len(value), width)
    transl = weak_perspective_to_translation(selected['camera'])
    persons |= {
        'smplx_transl': transl,
        'joints3d': body.joints,
        'joints2d': camera.project(body.joints + transl[:, None]),
    }
    if body.vertices is not None:
        persons['vertices'] = body.vertices
    return persons


def _fit_keypoints(
    selected: Mapping[str, np.ndarray],
    input_size: tuple[int, int],
    body_model: NumpySMPLXLayer,
    steps: int,
) -> dict[str, np.ndarray]:
    """Outputs that change when bodies are fitted to their keypoints."""
    parameters = _body_parameters(selected)
    body_pose, camera = fit_to_keypoints(
        selected['body_pose'],
        selected['camera'],
        body_model(**parameters, return_vertices=False).joints,
        KeypointTargets.of_network(
            selected['body_box'],
            selected['body_keypoints'],
            selected.get('keypoint_scores'),
            input_size,
        ),
        body_model.parents,
        steps,
    )
    return {'body_pose': body_pose, 'camera': camera}


def _body_parameters(
    selected: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """Arguments of a body model, poses as axis-angle ``(n, K, 3)``."""
    matrices = [selected[name] for name in _POSES]
    ends = np.cumsum([matrix.shape[1] for matrix in matrices])
    vectors = matrix_to_axis_angle(np.concatenate(matrices, axis=1))
    pose, *others = np.split(vectors, ends[:-1], axis=1)
    return {
        'betas': selected['betas'],
        'expression': selected['expression'],
        'global_orient': pose[:, :1],
        'body_pose': pose[:, 1:],
        **dict(zip(_POSES[1:], others, strict=True)),
    }
