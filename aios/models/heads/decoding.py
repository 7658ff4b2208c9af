# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Decode outputs of the network to persons in images.

Legend: ``B`` images, ``P`` candidates, ``n`` persons of an image, ``N``
persons of all images, ``V`` vertices.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData
from torch import Tensor

from aios.body_models import BodyModelBase, KeypointTargets, fit_to_keypoints
from aios.structures import (
    PERSON_LABEL,
    Camera,
    cxcywh_to_xyxy,
    project_points,
    suppress_overlaps,
    weak_perspective_to_translation,
)
from aios.structures.decoding import DecodingConfig, are_copies, sizes_fit
from aios.utils.tensors import at_least_float32, tensor_like

from .outputs import LayerOutputs, SMPLXParams

_BOX_FIELDS = {
    'body_box': 'bboxes',
    'left_hand_box': 'lhand_bboxes',
    'right_hand_box': 'rhand_bboxes',
    'face_box': 'face_bboxes',
}
_POINT_FIELDS = {
    'body_keypoints': 'keypoints',
    'left_hand_keypoints': 'lhand_keypoints',
    'right_hand_keypoints': 'rhand_keypoints',
    'face_keypoints': 'face_keypoints',
}


@dataclass(frozen=True)
class Selection:
    """Selected persons of an image, best first.

    Args:
        scores: ``(n,)``.
        labels: ``(n,)`` int64.
        index: ``(n,)`` int64, indices of candidates.
    """

    scores: Tensor
    labels: Tensor
    index: Tensor


def select_persons(
    logits: Tensor,
    boxes: Tensor,
    config: DecodingConfig,
    valid: Tensor | None = None,
    keypoints: Tensor | None = None,
) -> list[Selection]:
    """Select the persons of each image that are returned.

    The mask of all images is transferred to the host at once.

    Args:
        logits: ``(B, P, num_classes)``.
        boxes: ``(B, P, 4)`` body boxes, cxcywh in any unit.
        config: Options.
        valid: ``(B, P)`` bool; other candidates are never selected.
        keypoints: ``(B, P, 17, 2)`` in the same unit, for ``nms_oks_thr``
            and ``nms_head_thr``.
    """
    scores = at_least_float32(logits).sigmoid()
    if valid is not None:
        scores = scores.masked_fill(~valid[..., None], -1)
    first_label = 0
    if config.person_class_only or config.person_label != PERSON_LABEL:
        first_label = config.person_label
        scores = scores[..., PERSON_LABEL : PERSON_LABEL + 1]
    num_labels = scores.shape[2]
    scores = scores.flatten(1)
    count = min(config.max_per_img, scores.shape[1])
    scores, ranked = scores.topk(count, dim=1)
    index, labels = ranked // num_labels, ranked % num_labels + first_label
    # Comparisons with NaN are false.
    keep = scores >= max(config.score_thr, 0)
    if config.suppresses:
        rows = torch.arange(len(index), device=index.device)[:, None]
        points = None if keypoints is None else keypoints[rows, index]
        keep = suppress_overlaps(
            are_copies(boxes[rows, index], points, config), keep
        )
    selections = []
    for image, kept in enumerate(keep.cpu()):
        rows = kept.nonzero()[:, 0].to(index.device)
        selections.append(
            Selection(*(x[image][rows] for x in (scores, labels, index)))
        )
    return selections


@dataclass(frozen=True)
class _Frame:
    """Mapping from network coordinates to pixels of the result.

    Args:
        size: ``(height, width)`` of the network input, without padding.
        scale: ``(x, y)`` from network pixels to result pixels.
    """

    size: tuple[int, int]
    scale: tuple[float, float]

    @classmethod
    def read(cls, metainfo: Mapping[str, Any], rescale: bool) -> _Frame:
        height, width = metainfo['img_shape'][:2]
        if not rescale:
            return cls((height, width), (1.0, 1.0))
        if 'scale_factor' in metainfo:
            scale_x, scale_y = metainfo['scale_factor'][:2]
            return cls((height, width), (1 / scale_x, 1 / scale_y))
        original = metainfo.get('ori_shape', (height, width))
        full_height, full_width = original[:2]
        return cls((height, width), (full_width / width, full_height / height))

    @property
    def extent(self) -> tuple[float, float]:
        """``(width, height)`` of the network input, in result pixels."""
        return self.size[1] * self.scale[0], self.size[0] * self.scale[1]

    @property
    def K(self) -> np.ndarray:
        """``(3, 3)`` intrinsics in result pixels."""
        scale = np.diag([*self.scale, 1.0])
        return scale @ Camera.virtual(*self.size).K


def decode_instances(
    outputs: LayerOutputs,
    metainfos: Sequence[Mapping[str, Any]],
    body_model: BodyModelBase,
    config: DecodingConfig,
    rescale: bool = True,
) -> list[InstanceData]:
    """Decode outputs of the last decoder layer to persons.

    The body model runs once, for the selected persons only.

    Args:
        outputs: Predictions for ``B`` images.
        metainfos: For each image ``img_shape``, and to rescale
            ``scale_factor`` or ``ori_shape``.
        body_model: The body model.
        config: Options.
        rescale: Return pixels of the original image instead of the network
            input.

    Returns:
        For each image the fields listed in
        :meth:`aios.models.heads.AiOSHead.predict`.

    Raises:
        ValueError: If the layer belongs to the first stage.
    """
    if outputs.smplx is None:
        raise ValueError(
            f'a layer of stage {outputs.layout.name!r} has no SMPL-X '
            'parameters to decode'
        )
    # Areas in pixels are too large for half precision.
    boxes = at_least_float32(outputs.boxes['body_box'])
    sizes = [info['img_shape'][1::-1] for info in metainfos]
    size = tensor_like(sizes, boxes)[:, None]
    boxes = boxes * size.repeat(1, 1, 2)
    valid = None
    if outputs.levels is not None:
        areas = boxes[..., 2:].prod(-1)
        valid = sizes_fit(outputs.levels, areas, config.pyramid)
    keypoints = at_least_float32(outputs.points['body_keypoints'])
    selections = select_persons(
        outputs.logits, boxes, config, valid, keypoints * size[:, None]
    )
    params = outputs.smplx.map(
        lambda x: torch.cat(
            [rows[s.index] for rows, s in zip(x, selections, strict=True)]
        )
    )
    if config.keypoint_fit_steps:
        targets = [
            _keypoint_targets(image, outputs, selection, metainfo)
            for image, (selection, metainfo) in enumerate(
                zip(selections, metainfos, strict=True)
            )
        ]
        params = _fit_keypoints(
            params, targets, body_model, config.keypoint_fit_steps
        )
    fields = _body_fields(params, body_model, config.with_vertices)
    counts = [len(selection.index) for selection in selections]
    fields_per_image = zip(
        *(values.split(counts) for values in fields.values()), strict=True
    )
    persons = []
    for image, (selection, values, metainfo) in enumerate(
        zip(selections, fields_per_image, metainfos, strict=True)
    ):
        frame = _Frame.read(metainfo, rescale)
        result = _detections(image, outputs, selection, frame)
        if config.person_label != PERSON_LABEL:
            result.set_metainfo(dict(person_label=config.person_label))
        for field, value in zip(fields, values, strict=True):
            result[field] = value
        in_camera = result.joints3d + result.smplx_transl[:, None]
        K = tensor_like(frame.K, in_camera)
        result.joints2d = project_points(in_camera, K)
        persons.append(result)
    return persons


def _keypoint_targets(
    image: int,
    outputs: LayerOutputs,
    selection: Selection,
    metainfo: Mapping[str, Any],
) -> KeypointTargets:
    """Keypoints of the persons of an image, in network pixels."""
    scores = outputs.keypoint_scores
    height, width = metainfo['img_shape'][:2]
    rows = image, selection.index
    return KeypointTargets.of_network(
        _to_host(outputs.boxes['body_box'][rows]),
        _to_host(outputs.points['body_keypoints'][rows]),
        None if scores is None else _to_host(scores[rows]),
        (width, height),
    )


def _to_host(x: Tensor) -> np.ndarray:
    array: np.ndarray = x.detach().cpu().float().numpy()
    return array


def _fit_keypoints(
    params: SMPLXParams,
    targets: Sequence[KeypointTargets],
    body_model: BodyModelBase,
    steps: int,
) -> SMPLXParams:
    """Fit persons to their keypoints, on the CPU."""
    inputs = params.body_model_inputs()
    joints = body_model(**inputs, return_vertices=False).joints
    body_pose, camera = fit_to_keypoints(
        _to_host(params.body_pose),
        _to_host(params.camera),
        _to_host(joints),
        KeypointTargets.cat(targets),
        body_model.parents.numpy(force=True),
        steps,
    )
    return replace(
        params,
        body_pose=tensor_like(body_pose, params.body_pose),
        camera=tensor_like(camera, params.camera),
    )


def _body_fields(
    params: SMPLXParams, body_model: BodyModelBase, with_vertices: bool
) -> dict[str, Tensor]:
    """SMPL-X parameters, joints and vertices as fields ``(N, ...)``."""
    inputs = params.body_model_inputs()
    body = body_model(**inputs, return_vertices=with_vertices)
    fields = {
        f'smplx_{name}': value.flatten(1) for name, value in inputs.items()
    }
    fields['smplx_transl'] = weak_perspective_to_translation(params.camera)
    fields['joints3d'] = body.joints
    if body.vertices is not None:
        fields['vertices'] = body.vertices
    return fields


def _detections(
    image: int, outputs: LayerOutputs, selection: Selection, frame: _Frame
) -> InstanceData:
    """Scores, labels, boxes and keypoints of an image."""
    result = InstanceData(metainfo=dict(cam_K=frame.K))
    result.scores = selection.scores
    result.labels = selection.labels
    for part, boxes in outputs.boxes.items():
        boxes = cxcywh_to_xyxy(boxes[image, selection.index])
        extent = tensor_like(frame.extent, boxes)
        result[_BOX_FIELDS[part]] = boxes * extent.repeat(2)
    for part, points in outputs.points.items():
        points = points[image, selection.index]
        extent = tensor_like(frame.extent, points)
        result[_POINT_FIELDS[part]] = points * extent
    return result
