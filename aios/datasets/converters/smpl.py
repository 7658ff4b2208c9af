# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""3DPW and EMDB: persons in the wild as SMPL bodies, from a moving camera.

Both provide bodies in world coordinates and the extrinsics of each frame.
Rows hold bodies in camera coordinates, and the extrinsics as ``meta.RT``.

Symbols: ``N`` frames of a person; 24 joints of SMPL.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aios.datasets.image_sizes import stored_size
from aios.utils.folders import visible_paths
from aios.utils.safe_io import load_pickle

from .base import Converter, ConverterError, reading
from .bodies import move_root, smpl_joints
from .table import (
    BODY_SCALE,
    Cameras,
    PersonTable,
    concatenate,
    tight_boxes,
)

_SHARED = 22  # the first joints of SMPL are those of SMPL-X
_GENDERS = {'m': 'male', 'f': 'female'}


@dataclass(eq=False)
class _Track:
    """Frames of one person in world coordinates.

    Attributes:
        paths: ``(N,)`` images.
        pose: ``(N, 72)`` axis-angle.
        betas: ``(10,)``.
        transl: ``(N, 3)`` meters.
        joints: ``(N, 24, 3)`` meters.
        extrinsics: ``(N, 4, 4)`` from the world to the camera.
        intrinsics: ``(3, 3)`` pixels.
        size: Height and width of the images.
        gender: Of the body model.
        number: Of the person in the sequence.
    """

    paths: np.ndarray
    pose: np.ndarray
    betas: np.ndarray
    transl: np.ndarray
    joints: np.ndarray
    extrinsics: np.ndarray
    intrinsics: np.ndarray
    size: tuple[int, int]
    gender: str
    number: int = 0

    def select(self, rows: np.ndarray) -> _Track:
        """Select frames."""
        names = ('paths', 'pose', 'transl', 'joints', 'extrinsics')
        chosen = {name: getattr(self, name)[rows] for name in names}
        return _Track(**{**vars(self), **chosen})

    def columns(self) -> dict[str, np.ndarray]:
        """Rows in camera coordinates."""
        count = len(self.paths)
        rotation = self.extrinsics[:, :3, :3]
        offset = self.extrinsics[:, :3, 3]
        orient, transl = move_root(
            self.pose[:, :3],
            self.transl,
            self.joints[:, 0],
            rotation,
            offset,
        )
        joints = self.joints @ rotation.transpose(0, 2, 1) + offset[:, None]
        cameras = Cameras.repeated(self.intrinsics, self.size, count)
        points = cameras.project(joints)
        shared = joints[:, :_SHARED]
        ones = np.ones((*shared.shape[:2], 1))
        f32 = np.float32
        return {
            'image_path': self.paths,
            'bbox_xywh': tight_boxes(points, cameras.sizes, BODY_SCALE),
            'keypoints2d_smpl': points[:, :_SHARED].astype(f32),
            'keypoints3d_smpl': np.dstack((shared, ones)).astype(f32),
            'smpl/global_orient': orient.astype(f32),
            'smpl/body_pose': self.pose[:, 3:].reshape(-1, 23, 3).astype(f32),
            'smpl/betas': np.tile(self.betas, (count, 1)).astype(f32),
            'smpl/transl': transl.astype(f32),
            **cameras.meta_columns(self.gender),
            'meta/track_id': np.full(count, self.number),
            'meta/RT': self.extrinsics,
        }


class _SMPLConverter(Converter):
    """Converter of a release with one pickle per sequence."""

    MISC = {'smpl_source': 'original'}

    @abstractmethod
    def _file(self, unit: str) -> Path:
        """Label file of a sequence."""

    @abstractmethod
    def _tracks(
        self, unit: str, raw: Mapping[str, Any], table: PersonTable
    ) -> Iterator[_Track]:
        """Persons of a sequence."""

    def convert(self, unit: str) -> PersonTable:
        """One sequence."""
        table, file = PersonTable(), self._file(unit)
        raw = load_pickle(file)
        with reading(file):
            tracks = [*self._tracks(unit, raw, table)]
            images = np.unique(np.concatenate([t.paths for t in tracks]))
            # Of all persons: an image must not lack one.
            taken = images[:: self.interval]
            table.columns = concatenate(
                [t.select(np.isin(t.paths, taken)).columns() for t in tracks]
            )
        table.drop_empty_boxes()
        return table


@dataclass(eq=False)
class PW3DConverter(_SMPLConverter):
    """3DPW: one or two annotated persons per image, from a hand-held phone.

    Frames whose camera pose was not aligned for a person (``campose_valid``)
    are left out, as in the published protocols; that leaves 35,515 persons
    of the test split.

    Args:
        root: Folder with ``imageFiles/<sequence>/image_<frame>.jpg`` and
            ``sequenceFiles/<split>/<sequence>.pkl``.
        split: ``'test'``, ``'train'`` or ``'validation'``.
        body_models: Not needed: joints are part of the release.
        interval: Take every n-th frame of a sequence.
    """

    NAME = '3dpw'
    SPLITS = ('test', 'train', 'validation')
    split: str = 'test'

    def units(self) -> list[str]:
        """Sequences of the split."""
        folder = self.require('sequenceFiles', self.split)
        return [path.stem for path in visible_paths(folder, '*.pkl')]

    def _file(self, unit: str) -> Path:
        return self.require('sequenceFiles', self.split, f'{unit}.pkl')

    def _tracks(
        self, unit: str, raw: Mapping[str, Any], table: PersonTable
    ) -> Iterator[_Track]:
        count = len(raw['cam_poses'])
        folder = f'imageFiles/{raw["sequence"]}'
        names = [f'{folder}/image_{i:05d}.jpg' for i in range(count)]
        size = image_size(self.require(names[0]))
        for number, gender in enumerate(raw['genders']):
            pose = np.asarray(raw['poses'][number], np.float64)
            joints = np.asarray(raw['jointPositions'][number], np.float64)
            track = _Track(
                np.array(names),
                pose.reshape(count, 72),
                np.ravel(raw['betas'][number])[:10].astype(np.float64),
                np.reshape(raw['trans'][number], (count, 3)),
                joints.reshape(count, 24, 3),
                np.reshape(raw['cam_poses'], (count, 4, 4)).astype(np.float64),
                np.reshape(raw['cam_intrinsics'], (3, 3)).astype(np.float64),
                size,
                _GENDERS[str(gender)],
                number,
            )
            valid = np.reshape(raw['campose_valid'][number], count) > 0
            table.counts['camera not aligned'] += int((~valid).sum())
            yield track.select(valid)


@dataclass(eq=False)
class EMDBConverter(_SMPLConverter):
    """EMDB: one person per image, followed by a moving camera.

    Frames in which the person is out of view or hidden
    (``good_frames_mask``) are left out, as in the official evaluation.
    Joints are those of the SMPL model of the person's gender.

    Args:
        root: Folder with ``P<n>/<sequence>/P<n>_<sequence>_data.pkl`` and
            ``images/<frame>.jpg`` beside it.
        split: ``'emdb1'`` (errors in the camera), ``'emdb2'`` (in the world)
            or ``'all'``.
        body_models: Where the SMPL models are, see
            :func:`aios.body_models.find_smpl`.
        interval: Take every n-th frame.
    """

    NAME = 'emdb'
    SPLITS = ('emdb1', 'emdb2', 'all')
    split: str = 'emdb1'

    def units(self) -> list[str]:
        """Sequences of the split."""
        files = visible_paths(self.root, 'P*/*/*_data.pkl')
        if not files:
            raise self.missing(self.root / 'P*/*/*_data.pkl')
        units = []
        for file in files:
            if self.split == 'all' or self._is_listed(file):
                units.append(file.parent.relative_to(self.root).as_posix())
        return units

    def _is_listed(self, file: Path) -> bool:
        raw = load_pickle(file)
        with reading(file):
            return bool(raw[self.split])

    def _file(self, unit: str) -> Path:
        return self.require(unit, f'{unit.replace("/", "_")}_data.pkl')

    def _tracks(
        self, unit: str, raw: Mapping[str, Any], table: PersonTable
    ) -> Iterator[_Track]:
        count, smpl, camera = int(raw['n_frames']), raw['smpl'], raw['camera']
        good = np.reshape(raw['good_frames_mask'], count) > 0
        table.counts['person not in view'] += int((~good).sum())
        names = [f'{unit}/images/{i:05d}.jpg' for i in range(count)]
        pose = np.hstack((smpl['poses_root'], smpl['poses_body']))
        betas = np.ravel(smpl['betas'])[:10].astype(np.float64)
        transl = np.reshape(smpl['trans'], (count, 3)).astype(np.float64)
        gender = str(raw['gender'])
        joints = smpl_joints(
            pose.reshape(count, 72), betas, transl, self.body_models, gender
        )
        extrinsics = np.reshape(camera['extrinsics'], (count, 4, 4))
        track = _Track(
            np.array(names),
            pose.astype(np.float64),
            betas,
            transl,
            joints,
            extrinsics.astype(np.float64),
            np.reshape(camera['intrinsics'], (3, 3)).astype(np.float64),
            (int(camera['height']), int(camera['width'])),
            gender,
        )
        yield track.select(good)


def image_size(path: Path) -> tuple[int, int]:
    """Height and width of an image."""
    try:
        return stored_size(path)
    except OSError as error:
        raise ConverterError(f'{path}: is no image ({error})') from error
