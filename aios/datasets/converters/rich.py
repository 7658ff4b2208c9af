# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""RICH: persons in scanned scenes, seen by several fixed cameras."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from aios.utils.folders import visible_paths

from .base import Converter, ConverterError, reading
from .bodies import move_bodies, read_fits, smplx_joints
from .coco import read_json
from .smpl import image_size
from .table import Cameras, PersonTable, concatenate, posed_columns

_SUFFIXES = ('.jpeg', '.jpg', '.png', '.bmp')


@dataclass(eq=False)
class RICHConverter(Converter):
    """RICH's SMPL-X bodies, for every camera of a sequence.

    Bodies are transformed from the frame of the first camera to the others
    by the calibration of the scene, without its lens distortion.  Cameras
    without calibration are left out.  Hand poses are converted from 12 PCA
    coefficients to axis-angle.

    Args:
        root: Folder with ``images/<split>/<sequence>/cam_<c>/<f>_<c>.jpeg``
            (or ``.png``, ``.bmp``, ``.jpg``),
            ``bodies/<split>/<sequence>/<f>/<subject>.pkl``,
            ``scan_calibration/<scene>/calibration/<c>.xml`` and
            ``gender.json`` of the RICH toolkit.
        split: ``'test'``, ``'val'`` or ``'train'``.
        body_models: Folder of the models of all genders.
        interval: Take every n-th frame of a sequence.
    """

    NAME = 'rich'
    SPLITS = ('test', 'val', 'train')
    MISC = {'flat_hand_mean': False, 'smplx_source': 'original'}
    split: str = 'test'

    def units(self) -> list[str]:
        """Sequences of the split."""
        folder = self.require('bodies', self.split)
        return [path.name for path in visible_paths(folder) if path.is_dir()]

    def convert(self, unit: str) -> PersonTable:
        """Persons of one sequence in all cameras."""
        table, views = PersonTable(), []
        cameras = list(self._cameras(unit, table))
        for subject, files in sorted(self._fits(unit).items()):
            gender = self._gender(subject)
            paths = [file for _, file in files]
            params = read_fits(paths, self.body_models, gender)
            frames = np.array([frame for frame, _ in files])
            for camera in cameras:
                views += self._view(camera, frames, params, gender, table)
        table.columns = concatenate(views)
        table.drop_empty_boxes()
        return table

    def _fits(self, unit: str) -> dict[str, list[tuple[int, Path]]]:
        """Frames and files of each subject."""
        folder = self.require('bodies', self.split, unit)
        frames = [path for path in visible_paths(folder) if path.is_dir()]
        fits: dict[str, list[tuple[int, Path]]] = {}
        for frame in frames[:: self.interval]:
            for file in visible_paths(frame, '*.pkl'):
                entry = int(frame.name), file
                fits.setdefault(file.stem, []).append(entry)
        return fits

    def _cameras(self, unit: str, table: PersonTable) -> Iterator[_Camera]:
        images = self.require('images', self.split, unit)
        scene = unit.split('_')[0]
        folder = self.require('scan_calibration', scene, 'calibration')
        for path in visible_paths(images, 'cam_*'):
            number = int(path.name.removeprefix('cam_'))
            file = folder / f'{number:03d}.xml'
            if not file.is_file():
                table.counts['camera without calibration'] += 1
                continue
            camera = _Camera(self.root, path, file)
            if camera.images:
                yield camera

    @cached_property
    def _genders(self) -> dict[str, str]:
        path = self.require('gender.json')
        with reading(path):
            return {str(int(k)): str(v) for k, v in read_json(path).items()}

    def _gender(self, subject: str) -> str:
        number = str(int(subject))
        if number not in self._genders:
            raise ConverterError(
                f'{self.root / "gender.json"}: has no subject {number!r}'
            )
        return self._genders[number]

    def _view(
        self,
        camera: _Camera,
        frames: np.ndarray,
        params: dict[str, np.ndarray],
        gender: str,
        table: PersonTable,
    ) -> list[dict[str, np.ndarray]]:
        """Rows of a subject in one camera; none without images."""
        has_image = np.array([frame in camera.images for frame in frames])
        table.counts['missing image'] += int((~has_image).sum())
        if not has_image.any():
            return []
        rows = {name: value[has_image] for name, value in params.items()}
        joints = smplx_joints(rows, self.body_models, gender)
        rotation, offset = camera.extrinsics[:, :3], camera.extrinsics[:, 3]
        rows = move_bodies(rows, joints, rotation, offset)
        # Pose again, since the contour of the face depends on the view.
        joints = smplx_joints(rows, self.body_models, gender)
        paths = [camera.images[frame] for frame in frames[has_image].tolist()]
        cameras = Cameras.repeated(camera.intrinsics, camera.size, len(paths))
        return [posed_columns(paths, rows, joints, cameras, gender)]


class _Camera:
    """Images and calibration of one camera.

    Args:
        root: Folder of the release.
        folder: Images of the camera.
        file: Its calibration.

    Attributes:
        images: Path below the root, by frame.
        extrinsics: ``(3, 4)`` from the first camera's frame to this camera.
        intrinsics: ``(3, 3)`` pixels.
    """

    def __init__(self, root: Path, folder: Path, file: Path) -> None:
        self.root = root
        with reading(folder):
            self.images = {
                int(path.stem.split('_')[0]): path.relative_to(root).as_posix()
                for path in visible_paths(folder)
                if path.suffix.lower() in _SUFFIXES
            }
        try:
            tree = ElementTree.parse(file).getroot()
        except ElementTree.ParseError as error:
            raise ConverterError(f'{file}: not XML ({error})') from error
        with reading(file):
            self.extrinsics = _matrix(tree, 'CameraMatrix', (3, 4))
            self.intrinsics = _matrix(tree, 'Intrinsics', (3, 3))

    @cached_property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return image_size(self.root / next(iter(self.images.values())))


def _matrix(
    tree: ElementTree.Element, name: str, shape: tuple[int, int]
) -> np.ndarray:
    text = tree.findtext(f'./{name}/data')
    if text is None:
        raise ValueError(f'has no {name}/data')
    return np.array(text.split(), np.float64).reshape(shape)
