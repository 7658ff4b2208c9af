# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""AGORA: data frames of images and persons, one SMPL-X pickle per person.

Symbols: ``N`` persons of a data frame.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aios.utils.dataframe import load_dataframe
from aios.utils.safe_io import CorruptFileError, load_pickle

from .agora_frames import is_smpl_frame, pixel_width
from .base import Converter, ConverterError, reading
from .bodies import (
    POSES,
    axis_angle_hands,
    kid_gender,
    kid_model,
    move_bodies,
    neutral_betas,
    rigid_alignment,
    smplx_joints,
)
from .table import (
    Cameras,
    PersonTable,
    box_columns,
    joint_columns,
    smplx_columns,
)

_FRAME_KEYS = (
    'imgPath',
    'gender',
    'kid',
    'occlusion',
    'isValid',
    'gt_path_smplx',
    'gt_joints_2d',
    'gt_joints_3d',
)
_NUM_JOINTS = 127
_SKELETON = 55
_MAX_MISFIT = 0.01  # meters; correct fits reproduce the joints exactly
_SIZES = {'3840x2160': (2160, 3840), '1280x720': (720, 1280)}
_SMALL = '_1280x720'
_PART_SCALE = 1.2  # hands and faces, as in the boxes of agora2coco


@dataclass(eq=False)
class AGORAConverter(Converter):
    """AGORA's persons in camera coordinates.

    Cameras and root motions are computed from the joints of the data frame:
    the focal length from pairs of 3-D and 2-D joints, the root from the
    rigid motion between the fitted body and its joints in the camera.  This
    is independent of the renderer's conventions.

    Children need ``smplx_kid_template.npy``; without it they only have boxes
    and joints (``meta.smplx_valid`` is 0).

    Args:
        root: Folder with ``3840x2160`` and/or ``1280x720``, the data frames
            ``*_withjv.pkl`` and ``smplx_gt``.
        split: ``'train'`` or ``'validation'``.
        body_models: Folder of the models of all genders.
        interval: Take every n-th image of a data frame.
        resolution: Of the images, ``'3840x2160'`` or ``'1280x720'``.
        kid_template: ``smplx_kid_template.npy``; default: in the root.
    """

    NAME = 'agora'
    SPLITS = ('train', 'validation')
    MISC = {
        'flat_hand_mean': False,
        'smplx_source': 'original',
        'bbox_facehand_scale': _PART_SCALE,
    }

    resolution: str = '3840x2160'
    kid_template: str | Path | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.resolution)
        default = self.root / 'smplx_kid_template.npy'
        template = Path(self.kid_template or default)
        if self.kid_template is not None and not template.is_file():
            raise self.missing(template)
        self.kid_template = str(template) if template.is_file() else None
        self._images: dict[str, str] = {}

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """``--resolution``, ``--kid-template``."""
        parser.add_argument(
            '--resolution', choices=list(_SIZES), default='3840x2160'
        )
        parser.add_argument(
            '--kid-template',
            metavar='FILE',
            help='smplx_kid_template.npy (default: in the root)',
        )

    def units(self) -> list[str]:
        """Data frames of SMPL-X anywhere below the root."""
        name = re.compile(rf'{self.split}_\d+(_SMPLX)?_withjv\.pkl')
        found = [
            path.relative_to(self.root)
            for pattern in ('*.pkl', '*/*.pkl', '*/*/*.pkl')
            for path in self.root.glob(pattern)
            if name.fullmatch(path.name)
        ]
        found = sorted(path for path in found if not is_smpl_frame(path))
        if not found:
            raise self.missing(self.root / f'SMPLX/{self.split}_0_withjv.pkl')
        file, count = Counter(path.name for path in found).most_common(1)[0]
        if count > 1:
            places = [str(path) for path in found if path.name == file]
            raise ConverterError(
                f'{self.root}: duplicate persons in {" and ".join(places)}; '
                'keep one of these folders'
            )
        return [str(path) for path in found]

    def convert(self, unit: str) -> PersonTable:
        """Persons of one data frame."""
        table = PersonTable()
        persons = list(self._persons(self.root / unit, table))
        if not persons:
            return table
        height, width = _SIZES[self.resolution]
        joints = np.stack([p['joints'] for p in persons])
        points = np.stack([p['points'] for p in persons])
        names = np.array([p['path'] for p in persons])
        with reading(self.root / unit):
            found = pixel_width(
                (joints[names == name], points[names == name])
                for name in np.unique(names)
            )
            if found is None:
                raise ValueError(
                    'gt_joints_3d do not determine the image size of '
                    'gt_joints_2d'
                )
            points *= width / found
        count = len(persons)
        center = np.tile((width / 2, height / 2), (count, 1))
        focal = _focal_lengths(joints, points, center, names)
        cameras = Cameras(focal, center, np.tile((height, width), (count, 1)))
        params, valid, contour = self._bodies(persons, joints, table)

        all_joints = np.concatenate((joints, contour), axis=1)
        projected = cameras.project(all_joints)
        projected[:, :_NUM_JOINTS, :2] = points
        projected[~valid, _NUM_JOINTS:] = 0
        columns = joint_columns(all_joints, projected)
        columns['keypoints3d_smplx'][~valid, _NUM_JOINTS:] = 0
        table.columns = {
            'image_path': names,
            **self._boxes(projected, cameras.sizes),
            **columns,
            **smplx_columns(params),
            **cameras.meta_columns(
                np.array([p['gender'] for p in persons]), valid
            ),
            'meta/annot_valid': np.array([p['valid'] for p in persons]),
            'meta/is_kid': np.array([p['kid'] for p in persons], np.uint8),
            'meta/occ': np.array([p['occlusion'] for p in persons], float),
        }
        table.drop_empty_boxes()
        return table

    @staticmethod
    def _boxes(points: np.ndarray, sizes: np.ndarray) -> dict[str, np.ndarray]:
        """Boxes of the joints in the data frames, without the contour."""
        points = points.copy()
        points[:, _NUM_JOINTS:, 2] = 0
        return box_columns(points, sizes, _PART_SCALE)

    def _persons(
        self, path: Path, table: PersonTable
    ) -> Iterator[dict[str, Any]]:
        """One dictionary per person of a data frame."""
        frame = load_dataframe(
            path, _FRAME_KEYS, 'use those with joints (*_withjv.pkl)'
        )
        for row in range(0, len(frame['imgPath']), self.interval):
            name = self._image(str(frame['imgPath'][row]))
            if name is None:
                table.counts['missing image'] += 1
                continue
            for k in range(len(frame['gender'][row])):
                cells = {key: frame[key][row] for key in _FRAME_KEYS[1:]}
                yield {
                    'path': name,
                    'gender': str(cells['gender'][k]),
                    'kid': bool(cells['kid'][k]),
                    'occlusion': float(cells['occlusion'][k]),
                    'valid': bool(cells['isValid'][k]),
                    'file': str(cells['gt_path_smplx'][k]),
                    'points': _joints(cells['gt_joints_2d'][k], 2, path),
                    'joints': _joints(cells['gt_joints_3d'][k], 3, path),
                }

    def _image(self, name: str) -> str | None:
        """Path relative to the root; None if the image is missing."""
        if not self._images:
            folder = self.root / self.resolution
            for path in folder.rglob('*.png'):
                relative = path.relative_to(self.root).as_posix()
                if f'/{self.split}' in relative:
                    stem = path.stem.removesuffix(_SMALL)
                    self._images[stem] = relative
        stem = Path(name.replace('\\', '/')).stem
        return self._images.get(stem.removesuffix(_SMALL))

    def _bodies(
        self,
        persons: list[dict[str, Any]],
        joints: np.ndarray,
        table: PersonTable,
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
        """Parameters ``(N, ...)``, their validity, and contours of faces."""
        count = len(persons)
        params = {
            'betas': np.zeros((count, 10)),
            'betas_neutral': np.zeros((count, 10)),
            'betas_extra': np.zeros((count, 1)),
            'expression': np.zeros((count, 10)),
            'transl': np.zeros((count, 3)),
            **{name: np.zeros((count, size)) for name, size in POSES.items()},
        }
        valid = np.zeros(count, bool)
        contour = np.zeros((count, 144 - _NUM_JOINTS, 3))
        groups: dict[tuple[str, bool], list[int]] = {}
        for row, person in enumerate(persons):
            if person['kid'] and self.kid_template is None:
                table.counts['child without template'] += 1
            elif not self._fit_file(person['file']).is_file():
                table.counts['missing body fit'] += 1
            else:
                key = person['gender'], person['kid']
                groups.setdefault(key, []).append(row)
        for (gender, kid), rows in groups.items():
            raw = [self._read_fit(persons[row], kid) for row in rows]
            fitted = {k: np.concatenate([r[k] for r in raw]) for k in raw[0]}
            good, native = self._to_camera(fitted, joints[rows], gender, kid)
            index = np.array(rows)
            valid[index] = good
            contour[index] = native[:, _NUM_JOINTS:]
            fitted['betas_extra'] = fitted['betas'][:, 10:11]
            fitted['betas'] = fitted['betas'][:, :10]
            if not kid:
                fitted['betas_extra'] = np.zeros((len(rows), 1))
                fitted['betas_neutral'] = neutral_betas(
                    fitted['betas'], self.body_models, gender
                )
            for name, value in fitted.items():
                params[name][index] = value
            table.counts['fit differs from joints'] += int((~good).sum())
        for value in params.values():
            value[~valid] = 0
        return params, valid, contour

    def _to_camera(
        self,
        fitted: dict[str, np.ndarray],
        joints: np.ndarray,
        gender: str,
        kid: bool,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Move roots to the camera; return validity ``(N,)`` and joints."""
        model = self.body_models
        if kid:
            gender = kid_gender(gender)
            model = kid_model(model, gender, str(self.kid_template))
        fitted['transl'] = np.zeros((len(joints), 3))
        posed = smplx_joints(fitted, model, gender)
        rotation, translation, misfit = rigid_alignment(
            posed[:, :_SKELETON], joints[:, :_SKELETON]
        )
        fitted.update(move_bodies(fitted, posed, rotation, translation))
        # Pose again, since the contour of the face depends on the view.
        return misfit < _MAX_MISFIT, smplx_joints(fitted, model, gender)

    def _fit_file(self, name: str) -> Path:
        clean = Path(name.replace('\\', '/')).with_suffix('.pkl')
        direct = self.root / clean
        return direct if direct.is_file() else self.root / 'smplx_gt' / clean

    def _read_fit(
        self, person: Mapping[str, Any], kid: bool
    ) -> dict[str, np.ndarray]:
        """Parameters of one person as ``(1, ...)`` arrays."""
        path = self._fit_file(person['file'])
        raw = load_pickle(path)
        try:
            values = {
                k: np.asarray(raw[k], np.float64).reshape(1, -1)
                for k in ('betas', 'expression', *POSES)
                if k in raw
            }
            for side in ('left', 'right'):
                values[f'{side}_hand_pose'] = axis_angle_hands(
                    values[f'{side}_hand_pose'],
                    self.body_models,
                    kid_gender(person['gender']) if kid else person['gender'],
                    side,
                )
            for name, size in POSES.items():
                values.setdefault(name, np.zeros((1, size)))
            wanted = 11 if kid else 10
            values['betas'] = values['betas'][:, :wanted]
            expression = values.get('expression', np.zeros((1, 10)))
            values['expression'] = expression[:, :10]
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptFileError(
                f'{path}: not an SMPL-X fit ({type(error).__name__}: {error})'
            ) from error
        return values


def _joints(value: Any, width: int, path: Path) -> np.ndarray:
    joints = np.asarray(value, np.float64)
    if joints.ndim != 2 or len(joints) < _NUM_JOINTS:
        raise ConverterError(
            f'{path}: joints must have shape ({_NUM_JOINTS}, {width}), got '
            f'{joints.shape}; are these data frames of SMPL, not SMPL-X?'
        )
    return joints[:_NUM_JOINTS, :width]


def _focal_lengths(
    joints: np.ndarray,
    points: np.ndarray,
    center: np.ndarray,
    names: np.ndarray,
) -> np.ndarray:
    """``(N, 2)`` focal lengths, one per image, by least squares."""
    rays = joints[..., :2] / joints[..., 2:]
    offsets = points - center[:, None]
    _, image = np.unique(names, return_inverse=True)
    count = image.max() + 1
    focal = [
        np.bincount(image, (rays * offsets)[..., axis].sum(1), count)
        / np.bincount(image, (rays**2)[..., axis].sum(1), count)
        for axis in range(2)
    ]
    # Pixels are square.
    return np.repeat(np.mean(focal, axis=0)[image][:, None], 2, axis=1)
