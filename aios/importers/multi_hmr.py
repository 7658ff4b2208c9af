# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Multi-HMR: SMPL-X of all persons of an image.

The dictionary of a person, as described in the issues
(https://github.com/naver/multi-hmr, issues 16, 20, 32 and 43): ``rotvec``
(53, 3), axis-angle of the pelvis, 21 joints of the body, 15 of the left hand,
15 of the right and the jaw; ``shape`` (10), ``expression`` (10), ``scores``;
``transl_pelvis`` (3), ``j3d`` and ``v3d`` (10475, 3) in meters, camera axes;
``j2d`` in pixels of the image that the network saw.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from aios.body_models import BodyPoser
from aios.results import SequenceResult, complete_instances
from aios.structures import Camera

from .dictionaries import (
    Person,
    fitted_camera,
    frame_results,
    frames_of,
    ten_coefficients,
    without_gaps,
)
from .importer import Importer, ReadingOptions, posed_instances

_FOV = 60.0  # degrees; default of the program
_PARTS = {
    'global_orient': slice(0, 1),
    'body_pose': slice(1, 22),
    'left_hand_pose': slice(22, 37),
    'right_hand_pose': slice(37, 52),
    'jaw_pose': slice(52, 53),
}


class MultiHMRImporter(Importer):
    """SMPL-X parameters in camera axes."""

    name = 'multihmr'
    about = 'Multi-HMR: dictionaries of persons (npz, npy, json, pkl)'
    uses = ('fps', 'image_size', 'fov')

    def _read(
        self, path: Path, poser: BodyPoser, options: ReadingOptions
    ) -> tuple[SequenceResult, list[str]]:
        entries = list(frames_of(path, 'rotvec'))
        cameras = without_gaps(
            [_camera(persons, options) for _, persons in entries], str(path)
        )
        given = options.image_size is not None and options.fov is not None
        sequence = SequenceResult.from_frames(
            frame_results(
                entries,
                cameras,
                partial(_instances, poser=poser),
                options,
                'user' if given else 'unknown',
            ),
            fps=options.fps or 0.0,
            source=path.name,
            model='multi-hmr',
        )
        return sequence, []


def _camera(
    persons: Sequence[Person], options: ReadingOptions
) -> Camera | None:
    """The camera of the options, or fitted to the joints."""
    if options.image_size is not None:
        half = math.radians(options.fov or _FOV) / 2
        side = max(options.image_size)  # of the square that the network sees
        return Camera.from_focal(
            side / (2 * math.tan(half)), options.image_size
        )
    if not persons:
        return None
    if not all('j2d' in person and 'j3d' in person for person in persons):
        raise ValueError(
            f'{persons[0].where}: without j3d and j2d the camera is unknown; '
            'set --image-size and --fov'
        )
    points = [person.array('j3d', (-1, 3)) for person in persons]
    pixels = [
        person.array('j2d', (len(p), 2))
        for p, person in zip(points, persons, strict=True)
    ]
    return fitted_camera(
        np.concatenate(points), np.concatenate(pixels), persons[0].where
    )


def _instances(
    persons: Sequence[Person], camera: Camera, poser: BodyPoser
) -> dict[str, np.ndarray]:
    if not persons:
        return complete_instances()
    vectors = np.stack([person.array('rotvec', (53, 3)) for person in persons])
    count = len(persons)
    parameters = {
        name: vectors[:, part].reshape(count, -1)
        for name, part in _PARTS.items()
    }
    for name, field in (('shape', 'betas'), ('expression', 'expression')):
        if all(name in person for person in persons):
            values = [person.array(name, (-1,)) for person in persons]
            parameters[field] = np.stack([*map(ten_coefficients, values)])
    fields: dict[str, Any] = {}
    if all('scores' in person for person in persons):
        scores = [person.array('scores', ()) for person in persons]
        fields['scores'] = np.stack(scores)
    if all('v3d' in person for person in persons):
        fields['vertices'] = np.stack(
            [person.array('v3d', (-1, 3)) for person in persons]
        )
    pelvis = np.stack(
        [person.array('transl_pelvis', (3,)) for person in persons]
    )
    return posed_instances(poser, pelvis, camera, parameters, **fields)
