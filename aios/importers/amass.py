# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""AMASS: the motion of a person in a world with z up.

Keys are those of the releases for SMPL-H (``poses`` (T, 156)) and SMPL-X
(T, 165), and of loaders for robots (``root_orient``, ``pose_body``):
https://amass.is.tue.mpg.de, https://github.com/YanjieZe/GMR.

Legend: ``T`` frames of a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from aios.body_models import BodyPoser
from aios.results import SequenceResult
from aios.structures import Camera
from aios.utils.folders import visible_paths
from aios.utils.media import natural_key
from aios.utils.safe_io import load_npz

from .dictionaries import Person, ten_coefficients
from .importer import Importer, ReadingOptions, posed_instances

# x right, y forward, z up as x right, y down, z forward.
_TO_CAMERA = Rotation.from_matrix([[1, 0, 0], [0, 0, -1], [0, 1, 0]])
_SIZE = (1920, 1080)  # image of the virtual camera, which looks along y
_FOCAL = 1500.0
_HEIGHT = 1.5  # meters over the floor, which is z = 0
_FLOOR = np.array([0, -1, 0, _HEIGHT])
_MARGIN = 1.5  # meters around the paths of pelvises
# Ends of the parts of ``poses``, by its size.
_BODY = {'global_orient': 3, 'body_pose': 66}
_PARTS: Mapping[int, Mapping[str, int]] = {
    66: _BODY,
    156: _BODY | {'left_hand_pose': 111, 'right_hand_pose': 156},
    165: _BODY
    | {'jaw_pose': 69, 'leye_pose': 72, 'reye_pose': 75}
    | {'left_hand_pose': 120, 'right_hand_pose': 165},
}
_SMPLH = 156
_MAX_FRAMES = 1_000_000
# Parts of ``poses``, in order, that files without it have.
_FIELDS = {
    'root_orient': 3,
    'pose_body': 63,
    'pose_jaw': 3,
    'pose_eye': 6,
    'pose_hand': 90,
}
_KEYS = (
    *('poses', *_FIELDS, 'trans', 'betas', 'gender'),
    *('mocap_frame_rate', 'mocap_framerate', 'surface_model_type'),
    *('expression', 'first_frame', 'has_floor'),
)


@dataclass(frozen=True)
class _Motion:
    """The motion of a person.

    Attributes:
        first: Number of the first frame.
        rate: Frames per second.
        gender: Gender of the body model.
        pelvis: ``(T, 3)`` meters, z up.
        parameters: ``(T, ...)`` arguments of SMPL-X, z up.
        is_smplx: Whether shapes are those of SMPL-X.
        has_floor: Whether the floor is at z = 0.
        is_shortened: Whether shape coefficients after the tenth are dropped.
    """

    first: int
    rate: float
    gender: str
    pelvis: np.ndarray
    parameters: dict[str, np.ndarray]
    is_smplx: bool
    has_floor: bool
    is_shortened: bool

    @property
    def frames(self) -> np.ndarray:
        return self.first + np.arange(len(self.pelvis))


class AMASSImporter(Importer):
    """A motion in front of a virtual camera; a folder holds several."""

    name = 'amass'
    about = 'AMASS: motion of a person (npz), or a folder of them'

    def _read(
        self, path: Path, poser: BodyPoser, options: ReadingOptions
    ) -> tuple[SequenceResult, list[str]]:
        files = [path]
        if path.is_dir():
            files = sorted(visible_paths(path, '*.npz'), key=natural_key)
        if not files:
            raise FileNotFoundError(f'{path}: contains no .npz file')
        motions = [_load(file, poser, options) for file in files]
        for name in ('rate', 'gender', 'has_floor'):
            values = [getattr(motion, name) for motion in motions]
            for file, value in zip(files, values, strict=True):
                if value != values[0]:
                    raise ValueError(
                        f'{file}: {name} is {value}, but {values[0]} in '
                        f'{files[0].name}; convert the files one by one'
                    )
        remarks = ['the camera is virtual']
        if motions[0].has_floor:
            remarks[0] += '; the floor is z = 0 of the file'
        if options.fps not in (None, motions[0].rate):
            remarks.append(
                f'the frame rate is that of the file, {motions[0].rate:g}'
            )
        if not all(motion.is_smplx for motion in motions):
            remarks.append('shapes are not those of SMPL-X and are dropped')
        if any(motion.is_shortened for motion in motions):
            remarks.append('only the first ten shape coefficients are kept')
        return _sequence(path.name, motions, poser), remarks


def _load(path: Path, poser: BodyPoser, options: ReadingOptions) -> _Motion:
    arrays = Person(str(path), load_npz(path, keys=_KEYS))
    if not {'poses', 'root_orient'} & set(arrays):
        raise ValueError(
            f'{path}: not an AMASS file, it has neither poses nor root_orient'
        )
    poses = _poses(arrays)
    count, size = poses.shape
    if not count:
        raise ValueError(f'{path}: contains no frames')
    trans = arrays.array('trans', (count, 3))
    starts = [0, *_PARTS[size].values()]
    parameters = {
        name: poses[:, start:end]
        for start, (name, end) in zip(
            starts, _PARTS[size].items(), strict=False
        )
    }
    kind = _text(arrays, 'surface_model_type', 'smplx')
    is_smplx = size != _SMPLH and kind.startswith('smplx')
    shape = np.zeros(10)
    if 'betas' in arrays and is_smplx:
        shape = arrays.array('betas', (-1,))
    betas = ten_coefficients(shape)
    parameters['betas'] = np.tile(betas, (count, 1))
    if 'expression' in arrays:
        values = arrays.array('expression', (count, -1))
        parameters['expression'] = np.stack([*map(ten_coefficients, values)])
    gender = _gender(arrays)
    rest = poser({'betas': betas[None]}, gender, return_vertices=False)
    return _Motion(
        first=_first_frame(arrays, count),
        rate=_rate(arrays, options),
        gender=gender,
        pelvis=trans + rest.joints[0, 0],
        parameters=parameters,
        is_smplx=is_smplx,
        # Releases of AMASS do not say so, but have one.
        has_floor=bool(arrays.get('has_floor', True)),
        is_shortened=bool(shape[10:].any()),
    )


def _poses(arrays: Person) -> np.ndarray:
    """``(T, n)``, n a key of :data:`_PARTS`."""
    if 'poses' in arrays:
        return arrays.array('poses', *((-1, size) for size in _PARTS))
    arrays.require('pose_body')
    parts = {
        name: arrays.array(name, (-1, size))
        for name, size in _FIELDS.items()
        if name in arrays
    }
    counts = {name: len(values) for name, values in parts.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(
            f'{arrays.where}: fields have different numbers of frames: '
            f'{counts}'
        )
    poses = np.concatenate([*parts.values()], axis=1)
    if poses.shape[1] not in _PARTS:
        raise ValueError(
            f'{arrays.where}: hands, jaw and eyes must be given together, or '
            f'hands alone; fields: {", ".join(parts)}'
        )
    return poses


def _gender(arrays: Person) -> str:
    """Gender of the body; ``'neutral'`` if the file has none."""
    text = _text(arrays, 'gender', 'neutral')
    if text not in ('neutral', 'male', 'female'):
        raise ValueError(
            f'{arrays.where}: gender must be neutral, male or female, got '
            f'{text!r}'
        )
    return text


def _text(arrays: Person, name: str, default: str) -> str:
    """Text of a field, which may be an array of characters or bytes."""
    value = np.asarray(arrays.get(name, default)).ravel()[:1]
    return b''.join(value.astype(np.bytes_)).decode('ascii', 'replace')


def _rate(arrays: Person, options: ReadingOptions) -> float:
    for name in ('mocap_frame_rate', 'mocap_framerate'):
        if name in arrays:
            rate = float(arrays.array(name, ()))
            if rate > 0:
                return rate
            raise ValueError(f'{arrays.where}: {name} must be positive')
    if options.fps is None:
        raise ValueError(
            f'{arrays.where}: has no field mocap_frame_rate; set --fps'
        )
    return options.fps


def _first_frame(arrays: Person, count: int) -> int:
    first = 0
    if 'first_frame' in arrays:
        first = int(arrays.array('first_frame', ()))
    if not 0 <= first < _MAX_FRAMES - count:
        raise ValueError(
            f'{arrays.where}: first_frame must be in 0..{_MAX_FRAMES}, got '
            f'{first}'
        )
    return first


def _sequence(
    source: str, motions: Sequence[_Motion], poser: BodyPoser
) -> SequenceResult:
    """Persons in front of a virtual camera, rows sorted by frame."""
    camera = Camera.from_focal(_FOCAL, _SIZE)
    origin = _viewpoint(np.concatenate([motion.pelvis for motion in motions]))
    persons = [
        posed_instances(
            poser,
            _TO_CAMERA.apply(motion.pelvis - origin),
            camera,
            motion.parameters | {'global_orient': _turned(motion)},
            motion.gender,
            person_id=np.full(len(motion.pelvis), number),
        )
        for number, motion in enumerate(motions)
    ]
    index = np.concatenate([motion.frames for motion in motions])
    order = np.argsort(index, kind='stable')
    count = int(index.max(initial=-1)) + 1
    rate = motions[0].rate
    rows: dict[str, Any] = {
        name: np.concatenate([person[name] for person in persons])[order]
        for name in persons[0]
    }
    return SequenceResult(
        frame_index=index[order],
        **rows,
        frame_names=np.array([f'{frame:06d}' for frame in range(count)]),
        source_frames=np.arange(count),
        timestamps=np.arange(count) / rate,
        K=np.tile(camera.K, (count, 1, 1)),
        image_sizes=np.tile(_SIZE, (count, 1)),
        floor=_FLOOR if motions[0].has_floor else None,
        fps=rate,
        source=source,
        gender=motions[0].gender,
        model='amass',
    )


def _turned(motion: _Motion) -> np.ndarray:
    root = Rotation.from_rotvec(motion.parameters['global_orient'])
    return (_TO_CAMERA * root).as_rotvec()


def _viewpoint(points: np.ndarray) -> np.ndarray:
    """Position ``(3,)`` from which a level camera sees all points."""
    if not len(points):
        return np.zeros(3)
    middle = (points[:, 0].min() + points[:, 0].max()) / 2
    aside = np.abs(points[:, [0, 2]] - [middle, _HEIGHT]) + _MARGIN
    distance = (aside * 2 * _FOCAL / _SIZE).max(1)
    return np.array([middle, (points[:, 1] - distance).min(), _HEIGHT])
