# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Synthetic scenes as exact results.

They allow visualization, conversion and evaluation of results without a
network.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from aios.body_models import BodyModel, BodyPoser
from aios.results import SMPLX_ARGUMENTS, FrameResult, complete_instances
from aios.structures import Camera


def labels_as_result(
    labels: Mapping[str, np.ndarray],
    camera: Camera,
    body_model: BodyModel,
    name: str = '000000',
    source_frame: int = 0,
    timestamp: float = 0.0,
) -> FrameResult:
    """Converts labels of a scene to a result of the model.

    Args:
        labels: See :func:`~aios.synthetic.label_scene`; empty if no person is
            visible.
        camera: Camera of the scene.
        body_model: Of the neutral gender, which results use.
        name: Name of the frame.
        source_frame: Number of the frame.
        timestamp: Seconds.

    Raises:
        ValueError: If a person is not of the neutral gender.
    """
    size = camera.width, camera.height
    if not labels:
        empty = complete_instances()
        return FrameResult(
            name, source_frame, timestamp, camera.K, size, empty
        )
    others = sorted(set(labels['meta/gender'].tolist()) - {'neutral'})
    if others:
        raise ValueError(
            f'frame {name!r}: all persons must be neutral, got {others[0]}'
        )
    count = len(labels['meta/person_id'])
    fields = {
        argument: labels[f'smplx/{argument}'].reshape(count, -1)[:, :width]
        for argument, width in SMPLX_ARGUMENTS.items()
        if f'smplx/{argument}' in labels
    }
    for part, key in (
        ('bboxes', 'bbox_xywh'),
        ('lhand_bboxes', 'lhand_bbox_xywh'),
        ('rhand_bboxes', 'rhand_bbox_xywh'),
        ('face_bboxes', 'face_bbox_xywh'),
    ):
        corner, extent = labels[key][:, :2], labels[key][:, 2:4]
        fields[part] = np.concatenate([corner, corner + extent], axis=1)
    persons = complete_instances(person_id=labels['meta/person_id'], **fields)
    frame = FrameResult(name, source_frame, timestamp, camera.K, size, persons)
    return frame.posed(BodyPoser(body_model), with_vertices=False)
