# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""PHALP, the tracker of 4DHumans: SMPL of all persons of a video.

A joblib file maps the path of each frame to lists with one entry per track
(https://github.com/brjathu/PHALP): ``tid``, ``bbox`` (x, y, width, height),
``conf``, ``size`` (height, width), ``tracked_time`` (frames since the last
detection), ``smpl`` (rotation matrices ``global_orient`` and ``body_pose``
(23, 3, 3), ``betas``), ``3d_joints`` (45, 3) in meters, and ``camera`` (3),
their translation for a camera that renders the longer side of the image with
256 pixels and a focal length of 5000; ``time`` is the frame number.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from aios.body_models import BodyPoser
from aios.results import FrameResult, SequenceResult, complete_instances
from aios.structures import VIRTUAL_FOCAL, Camera
from aios.utils.joblib_pickle import load_joblib

from .dictionaries import Person
from .importer import Importer, ReadingOptions, posed_instances

_RENDERED = 256  # pixels
_MID_HIP = 8  # of OpenPose; in SMPL it is the joint of the pelvis
_LISTS: Mapping[str, tuple[int, ...]] = {
    'tid': (),
    'conf': (),
    'bbox': (4,),
    'camera': (3,),
    '3d_joints': (45, 3),
}
_NUM_BODY = 21  # joints; the last two of SMPL's 23 are the hands


class PHALPImporter(Importer):
    """Poses and tracks; shapes are of another body model and left out."""

    name = 'phalp'
    about = '4DHumans and PHALP: poses and tracks (pkl)'

    def _read(
        self, path: Path, poser: BodyPoser, options: ReadingOptions
    ) -> tuple[SequenceResult, list[str]]:
        content = load_joblib(path)
        if not isinstance(content, Mapping) or not all(
            isinstance(frame, Mapping) and 'smpl' in frame
            for frame in content.values()
        ):
            raise ValueError(
                f"{path}: not a PHALP file, no frame has the field 'smpl'"
            )
        frames = {
            name: Person(f'{path}: {name}', frame)
            for name, frame in content.items()
        }
        sizes = [size for frame in frames.values() for size in _sizes(frame)]
        if not sizes:
            raise ValueError(f'{path}: contains no persons')
        persons = SequenceResult.from_frames(
            [
                _frame(frame, str(name), sizes[0], poser, options)
                for name, frame in sorted(frames.items(), key=_time_and_name)
            ],
            fps=options.fps or 0.0,
            source=path.name,
            model='phalp',
        )
        return persons, [
            'poses are those of SMPL; its shapes do not apply to SMPL-X and '
            'are dropped'
        ]


def _time_and_name(entry: tuple[Any, Person]) -> tuple[float, str]:
    name, frame = entry
    return float(frame.array('time', ())), str(name)


def _sizes(frame: Person) -> list[tuple[int, int]]:
    """``(width, height)`` for each person."""
    if not len(frame['smpl']):
        return []
    sizes = frame.array('size', (-1, 2)).astype(int).tolist()
    return [(width, height) for height, width in sizes]


def _frame(
    frame: Person,
    name: str,
    size: tuple[int, int],
    poser: BodyPoser,
    options: ReadingOptions,
) -> FrameResult:
    size = (*_sizes(frame), size)[0]
    camera = Camera.from_focal(VIRTUAL_FOCAL * max(size) / _RENDERED, size)
    rows = _seen(frame)
    instances = complete_instances()
    if rows:
        fields: dict[str, Any] = {
            name: np.stack([row[name] for row in rows]) for name in rows[0]
        }
        pelvis = fields.pop('pelvis')
        parameters = {n: fields.pop(n) for n in ('global_orient', 'body_pose')}
        instances = posed_instances(
            poser, pelvis, camera, parameters, **fields
        )
    return FrameResult(
        name=Path(name).stem,
        K=camera.K,
        size=size,
        instances=instances,
        camera_origin='virtual',
        **options.timing(int(frame.array('time', ()))),
    )


def _seen(frame: Person) -> list[dict[str, np.ndarray]]:
    """Fields of the detected persons, without those only predicted."""
    count = len(frame['smpl'])
    if not count:
        return []
    missed = frame.array('tracked_time', (count,))
    lists = {
        name: frame.array(name, (count, *shape))
        for name, shape in _LISTS.items()
    }
    rows = []
    for row in np.flatnonzero(missed == 0).tolist():
        body = Person(f'{frame.where}: person {row}', frame['smpl'][row])
        x, y, width, height = lists['bbox'][row]
        joints = lists['3d_joints'][row]
        rows.append(
            {
                'person_id': lists['tid'][row].astype(np.int64),
                'scores': lists['conf'][row],
                'bboxes': np.array([x, y, x + width, y + height]),
                'pelvis': joints[_MID_HIP] + lists['camera'][row],
                'global_orient': _vectors(body, 'global_orient', (3, 3)),
                'body_pose': _vectors(body, 'body_pose', (23, 3, 3))[
                    : 3 * _NUM_BODY
                ],
            }
        )
    return rows


def _vectors(body: Person, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Axis-angle, flat, of a field of rotation matrices."""
    matrices = body.array(name, shape)
    try:
        return Rotation.from_matrix(matrices).as_rotvec().ravel()
    except ValueError as error:
        raise ValueError(
            f'{body.where}: {name} must be rotation matrices'
        ) from error
