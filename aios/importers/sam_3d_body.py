# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""SAM 3D Body: meshes and keypoints of the Momentum Human Rig (MHR).

The dictionary of a person, as described in the documentation and the issues
(https://github.com/facebookresearch/sam-3d-body, issues 34, 53 and 82):
``pred_vertices`` (V, 3), ``pred_keypoints_3d`` (70, 3) and
``pred_joint_coords`` (127, 3) in meters, camera axes without the translation
``pred_cam_t`` (3); ``pred_keypoints_2d`` (70, 2) and ``focal_length`` in
pixels; ``bbox`` (x0, y0, x1, y1).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aios.body_models import BodyPoser
from aios.results import SequenceResult, complete_instances
from aios.structures import (
    SMPLX_144,
    Camera,
    convert_joints,
    joint_mapping,
    points_to_box,
)
from aios.utils.safe_io import load_npy

from .dictionaries import (
    Person,
    fitted_camera,
    frame_results,
    frames_of,
    without_gaps,
)
from .importer import Importer, ReadingOptions

_KEY = 'pred_keypoints_3d'
# Indices in ``pred_joint_coords``, whose first joint is the world.
_RIG = {'pelvis': 1, 'spine_1': 35, 'spine_2': 36, 'spine_3': 37, 'head': 113}
# Joints missing in MHR, as means of others.
_MIDDLES: dict[str, tuple[str, ...]] = {
    'pelvis': ('left_hip', 'right_hip'),
    'head': ('left_ear', 'right_ear'),
    'spine_1': ('pelvis', 'pelvis', 'pelvis', 'neck'),
    'spine_2': ('pelvis', 'neck'),
    'spine_3': ('pelvis', 'neck', 'neck', 'neck'),
    'jaw': ('nose', 'neck'),
} | {
    f'{side}_{name}': tuple(f'{side}_{source}' for source in sources)
    for side in ('left', 'right')
    for name, sources in (
        ('collar', ('shoulder',)),
        ('foot', ('bigtoe', 'smalltoe')),
        ('eyeball', ('eye',)),
    )
}


class SAM3DBodyImporter(Importer):
    """Meshes, keypoints and cameras; there are no SMPL-X parameters."""

    name = 'sam3dbody'
    about = 'SAM 3D Body: MHR meshes and keypoints (npz, npy, json, pkl)'
    uses = ('fps', 'image_size', 'faces')

    def _read(
        self, path: Path, poser: BodyPoser, options: ReadingOptions
    ) -> tuple[SequenceResult, list[str]]:
        entries = list(frames_of(path, _KEY))
        seen = [
            _camera(persons, options.image_size) if persons else None
            for _, persons in entries
        ]
        cameras = without_gaps(seen, str(path))
        frames = frame_results(entries, cameras, _instances, options)
        faces: Any = next(x for _, x in entries if x)[0].get('faces')
        if options.faces is not None:
            faces = load_npy(options.faces)
        sequence = SequenceResult.from_frames(
            frames,
            fps=options.fps or 0.0,
            source=path.name,
            body_model='mhr',
            model='sam-3d-body',
            faces=faces,
        )
        return sequence, _remarks(sequence)


def _remarks(persons: SequenceResult) -> list[str]:
    remarks = [
        'bodies are MHR: they have joints and meshes, but no SMPL-X '
        'parameters, which bvh, amass and smoothing need'
    ]
    if persons.vertices is None:
        remarks.append('results have joints but no meshes')
    elif persons.faces is None:
        remarks.append('meshes have no triangles; set --faces')
    return remarks


def _camera(persons: Sequence[Person], size: tuple[int, int] | None) -> Camera:
    where = persons[0].where
    focal = float(persons[0].array('focal_length', ()))
    if all('pred_keypoints_2d' in person for person in persons):
        points = [_placed(person, _KEY, 70) for person in persons]
        pixels = [_pixels(person) for person in persons]
        return fitted_camera(
            np.concatenate(points), np.concatenate(pixels), where, focal, size
        )
    if size is None:
        raise ValueError(
            f'{where}: without pred_keypoints_2d the image size is unknown; '
            'set --image-size'
        )
    return Camera.from_focal(focal, size)


def _placed(person: Person, name: str, count: int) -> np.ndarray:
    """Points in camera axes."""
    points = person.array(name, (count, 3))
    return points + person.array('pred_cam_t', (3,))


def _pixels(person: Person) -> np.ndarray:
    return person.array('pred_keypoints_2d', (70, 2), (70, 3))[:, :2]


def _instances(
    persons: Sequence[Person], camera: Camera
) -> dict[str, np.ndarray]:
    if not persons:
        return complete_instances()
    joints = np.stack([_joints(person) for person in persons])
    fields: dict[str, Any] = {
        'joints3d': joints,
        'joints2d': camera.project(joints),
    }
    boxes, _ = points_to_box(fields['joints2d'], joints[..., 2] > 0)
    fields['bboxes'] = boxes
    for box, person in zip(fields['bboxes'], persons, strict=True):
        if 'bbox' in person:
            box[:] = person.array('bbox', (4,))
    if all('pred_vertices' in person for person in persons):
        fields['vertices'] = np.stack(
            [_placed(person, 'pred_vertices', -1) for person in persons]
        )
    if all('pred_keypoints_2d' in person for person in persons):
        chosen = joint_mapping('mhr_70', 'coco', approximate=True)
        fields['keypoints'] = np.stack(
            [_pixels(person)[chosen] for person in persons]
        )
    return complete_instances(**fields)


def _joints(person: Person) -> np.ndarray:
    """``(144, 3)``: joints of MHR, and approximations of missing ones."""
    points = _placed(person, _KEY, 70)
    joints, known = convert_joints(points, 'mhr_70', 'smplx_144')
    found = {
        name: joints[place]
        for place, name in enumerate(SMPLX_144.names)
        if known[place]
    }
    if 'pred_joint_coords' in person:
        rig = _placed(person, 'pred_joint_coords', 127)
        found |= {name: rig[place] for name, place in _RIG.items()}
    for name, sources in _MIDDLES.items():
        middle = np.mean([found[source] for source in sources], axis=0)
        found.setdefault(name, middle)
    # The remaining joints are landmarks of the face.
    return np.stack([found.get(n, found['nose']) for n in SMPLX_144.names])
