# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Boxes, scores and keypoints as JSON, like COCO-WholeBody.

The schema is described in ``docs/en/export.md``.  Symbols: ``n`` persons of
a frame, ``K`` keypoints.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from aios.results import MESH_BODIES, FrameResult, SequenceResult
from aios.structures import convert_joints, get_joint_set, joint_mapping
from aios.utils.safe_io import atomic_write
from aios.version import __version__

from .exporter import Exporter

SCHEMA_VERSION = 1

_PERSON = 1  # the only category
_NUM_COCO = 17
# Slices of COCO-WholeBody's 133 points, by the names of its files.
_PARTS = {
    'foot_kpts': slice(17, 23),
    'face_kpts': slice(23, 91),
    'lefthand_kpts': slice(91, 112),
    'righthand_kpts': slice(112, 133),
}
_BOXES = {
    'bbox': 'bboxes',
    'lefthand_box': 'lhand_bboxes',
    'righthand_box': 'rhand_bboxes',
    'face_box': 'face_bboxes',
}


def write_keypoints(
    sequence: SequenceResult, path: str | os.PathLike, overwrite: bool = False
) -> None:
    """Write one file for all frames, one of them in memory at a time.

    Args:
        sequence: The results.
        path: The ``.json`` file. Missing folders are made.
        overwrite: Replace an existing file.

    Raises:
        FileExistsError: If the file exists and ``overwrite`` is False.
    """
    parts: dict[str, Iterable[dict[str, Any]]] = {
        'images': map(_image, sequence.frames(), itertools.count()),
        'annotations': _all_annotations(sequence),
        'categories': [_category()],
    }
    with atomic_write(path, overwrite=overwrite) as stream:
        stream.write(b'{"info":' + _json(_info(sequence)))
        for name, items in parts.items():
            stream.write(f',"{name}":['.encode())
            for index, item in enumerate(items):
                stream.write((b',' if index else b'') + _json(item))
            stream.write(b']')
        stream.write(b'}')


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(',', ':')).encode()


def _info(sequence: SequenceResult) -> dict[str, Any]:
    return {
        'description': 'whole-body keypoints of AiOS',
        'version': SCHEMA_VERSION,
        'aios_version': __version__,
        'source': sequence.source,
        'fps': sequence.fps,
        'units': 'px',
    }


def _all_annotations(sequence: SequenceResult) -> Iterator[dict[str, Any]]:
    """Annotations of all frames.

    ``v`` is 0 for joints that bodies lack or that are behind the camera.
    """
    joint_set = MESH_BODIES.get(sequence.body_model, 'smplx_144')
    number = itertools.count(1)  # pycocotools takes 0 for no annotation
    for image_id, frame in enumerate(sequence.frames()):
        for annotation in _annotations(frame, image_id, joint_set):
            yield {'id': next(number), **annotation}


def _image(frame: FrameResult, image_id: int) -> dict[str, Any]:
    width, height = frame.size
    return {
        'id': image_id,
        'file_name': frame.name,
        'width': width,
        'height': height,
        'frame': frame.source_frame,
        'timestamp': frame.timestamp,
        'K': frame.K.tolist(),
        **frame.camera_source,
    }


def _annotations(
    frame: FrameResult, image_id: int, joint_set: str
) -> Iterator[dict[str, Any]]:
    instances = frame.instances
    joints = np.append(
        instances['joints2d'], instances['joints3d'][..., 2:], axis=2
    )
    points, _ = convert_joints(
        joints, 'smplx_144', 'coco_wholebody', approximate=True
    )
    known = joint_mapping(joint_set, 'coco_wholebody', approximate=True) >= 0
    points[..., 2] = np.where(known & (points[..., 2] > 0), 2, 0)
    points[points[..., 2] == 0] = 0  # behind the camera pixels are mirrored
    if 'keypoints' in instances:
        # Predicted keypoints are more accurate than projected joints.
        points[:, :_NUM_COCO, :2] = instances['keypoints']
        points[:, :_NUM_COCO, 2] = 2
    for row in range(len(frame)):
        boxes = {
            name: _xywh(instances[field][row])
            for name, field in _BOXES.items()
        }
        width, height = boxes['bbox'][2:]
        yield {
            'image_id': image_id,
            'category_id': _PERSON,
            'track_id': int(instances['person_id'][row]),
            'score': round(float(instances['scores'][row]), 4),
            'iscrowd': 0,
            'area': round(width * height, 2),
            **boxes,
            'keypoints': _flat(points[row, :_NUM_COCO]),
            'num_keypoints': int((points[row, :_NUM_COCO, 2] > 0).sum()),
            **{
                name: _flat(points[row, part]) for name, part in _PARTS.items()
            },
            'smplx_joints': _flat(instances['joints2d'][row]),
        }


def _category() -> dict[str, Any]:
    coco = get_joint_set('coco')
    return {
        'id': _PERSON,
        'name': 'person',
        'keypoints': list(coco.names),
        'skeleton': [[a + 1, b + 1] for a, b in coco.links],
        'smplx_joints': list(get_joint_set('smplx_144').names),
    }


def _xywh(box: np.ndarray) -> list[float]:
    return _flat(np.concatenate([box[:2], box[2:] - box[:2]]))


def _flat(values: np.ndarray) -> list[float]:
    """Numbers rounded to a hundredth of a pixel."""
    return values.astype(np.float64).ravel().round(2).tolist()


class KeypointsExporter(Exporter):
    """Boxes and keypoints."""

    name, suffix, needs_body = 'json', '.json', False
    about = 'boxes, scores and keypoints, like COCO-WholeBody'
    product = 'keypoints.json'
    flag = '--save-json'
    flag_help = 'keypoints.json: boxes and keypoints'

    def write(  # noqa: D102
        self, sequence: SequenceResult, layer: Any, path: Path, **options: Any
    ) -> None:
        write_keypoints(sequence, path, options['overwrite'])
