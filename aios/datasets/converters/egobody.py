# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""EgoBody's egocentric images: the person the wearer looks at."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from aios.utils.folders import visible_paths
from aios.utils.safe_io import load_npz

from .base import Converter, ConverterError, reading
from .bodies import move_bodies, read_fits, smplx_joints
from .coco import read_json
from .table import Cameras, PersonTable, posed_columns

# The headset's camera looks along -z with y up (OpenGL).
_TO_OPENCV = np.diag((1.0, -1.0, -1.0, 1.0))


class EgoBodyConverter(Converter):
    """EgoBody-EgoSet: one interactee per image.

    Bodies are transformed from the frame of the main Kinect to the headset's
    world (``cal_trans/holo_to_kinect12.json``), to its camera (``*_pv.txt``,
    one line per frame), and to OpenCV's axes.  Hand poses are converted from
    PCA coefficients to axis-angle.

    An image is used if ``keypoints.npz`` of the recording lists it, so that
    its person is visible, and if it lies between the recording's start and
    end frame.

    Args:
        root: Folder with ``egocentric_color``, ``calibrations``,
            ``smplx_interactee_<split>``, ``data_splits.csv`` and
            ``data_info_release.csv``.
        split: ``'train'``, ``'val'`` or ``'test'``.
        body_models: Folder of the models of all genders.
        interval: Take every n-th image of a recording.
    """

    NAME = 'egobody'
    SPLITS = ('train', 'val', 'test')
    MISC = {'flat_hand_mean': False, 'smplx_source': 'original'}

    def units(self) -> list[str]:
        """Recordings of the split."""
        path = self.require('data_splits.csv')
        with reading(path), open(path, newline='', encoding='utf-8') as file:
            rows = list(csv.DictReader(file))
        if not rows or self.split not in rows[0]:
            raise ConverterError(f'{path}: has no column {self.split!r}')
        names = {(row[self.split] or '').strip() for row in rows}
        return sorted(names - {''})

    def convert(self, unit: str) -> PersonTable:
        """One recording."""
        table = PersonTable()
        images = self._images(unit)
        poses = self._cameras(unit)
        fits = self._fits(unit)
        visible = self._visible(unit)
        frames, genders = self._recording(unit)
        rows = []
        for frame, (path, stamp) in sorted(images.items())[:: self.interval]:
            if int(frame.split('_')[-1]) not in frames:
                table.counts['before start or after end frame'] += 1
            elif frame not in visible:
                table.counts['person not visible'] += 1
            elif frame not in fits:
                table.counts['image without body fit'] += 1
            elif stamp not in poses:
                table.counts['image without camera'] += 1
            else:
                rows.append((path, stamp, fits[frame]))
        if not rows:
            return table
        fit = rows[0][2]
        gender = genders[fit.parts[-4]]  # body_idx_0/results/frame/000.pkl
        files = [row[2] for row in rows]
        params = read_fits(files, self.body_models, gender)
        views = [poses[stamp] for _, stamp, _ in rows]
        to_camera = np.stack([v[1] for v in views]) @ self._to_world(unit)
        joints = smplx_joints(params, self.body_models, gender)
        params = move_bodies(
            params, joints, to_camera[:, :3, :3], to_camera[:, :3, 3]
        )
        joints = smplx_joints(params, self.body_models, gender)
        intrinsics = np.stack([v[0] for v in views])
        cameras = Cameras(
            intrinsics[:, :2],
            intrinsics[:, 2:4],
            intrinsics[:, [5, 4]].astype(np.int64),
        )
        paths = [row[0] for row in rows]
        table.columns = posed_columns(paths, params, joints, cameras, gender)
        table.drop_empty_boxes()
        return table

    def _images(self, unit: str) -> dict[str, tuple[str, int]]:
        """Path and time stamp by frame name."""
        folder = self.require('egocentric_color', unit)
        images = {}
        for path in visible_paths(folder, '*/PV/*_frame_*.jpg'):
            stamp, frame = path.stem.split('_', 1)
            relative = path.relative_to(self.root).as_posix()
            images[frame] = (relative, int(stamp))
        if not images:
            raise self.missing(folder / '<date>/PV/*_frame_*.jpg')
        return images

    def _cameras(self, unit: str) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """(fx, fy, cx, cy, width, height) and 4 × 4 matrix by time stamp."""
        folder = self.require('egocentric_color', unit)
        files = visible_paths(folder, '*/*_pv.txt')
        if not files:
            raise self.missing(folder / '<date>/<date>_pv.txt')
        cameras = {}
        for file in files:
            with reading(file):
                cameras.update(_read_cameras(file))
        return cameras

    def _to_world(self, unit: str) -> np.ndarray:
        """Transform from the main Kinect to the headset's world."""
        path = self.require(
            'calibrations', unit, 'cal_trans/holo_to_kinect12.json'
        )
        with reading(path):
            to_kinect = np.asarray(read_json(path)['trans'], np.float64)
            return np.linalg.inv(to_kinect.reshape(4, 4))

    def _fits(self, unit: str) -> dict[str, Path]:
        """Files of fits by frame name."""
        folder = self.require(f'smplx_interactee_{self.split}', unit)
        files = visible_paths(folder, 'body_idx_*/results/frame_*/000.pkl')
        return {file.parent.name: file for file in files}

    def _visible(self, unit: str) -> set[str]:
        """Names of the frames in which the person is visible."""
        folder = self.require('egocentric_color', unit)
        files = visible_paths(folder, '*/keypoints.npz')
        if not files:
            raise self.missing(folder / '<date>/keypoints.npz')
        names: set[str] = set()
        for file in files:
            with reading(file):
                paths = load_npz(file, ('imgname',), allow_objects=True)
                for path in paths['imgname'].astype(str).tolist():
                    stem = Path(path.replace('\\', '/')).stem
                    names.add(stem.split('_', 1)[1])
        return names

    def _recording(self, unit: str) -> tuple[range, dict[str, str]]:
        """Frames of a recording, and genders by ``body_idx_0`` and so on."""
        path = self.require('data_info_release.csv')
        with reading(path), open(path, newline='', encoding='utf-8') as file:
            for row in csv.DictReader(file):
                if row['recording_name'] == unit:
                    # for example '0 male'
                    persons = (f'body_idx_{number}' for number in (0, 1))
                    genders = {name: row[name].split()[-1] for name in persons}
                    first, last = row['start_frame'], row['end_frame']
                    return range(int(first), int(last) + 1), genders
        raise ConverterError(f'{path}: has no recording {unit!r}')


def _read_cameras(file: Path) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Cameras of one ``*_pv.txt``, see :meth:`EgoBodyConverter._cameras`."""
    lines = file.read_text().splitlines()
    cx, cy, width, height = (float(v) for v in lines[0].split(','))
    cameras = {}
    for line in filter(None, lines[1:]):
        values = [float(v) for v in line.split(',')[1:]]
        to_world = np.reshape(values[2:18], (4, 4))
        # NaN or zeros mark frames where the headset lost tracking.
        if np.isfinite(to_world).all() and to_world.any():
            numbers = np.array([*values[:2], cx, cy, width, height])
            matrix = _TO_OPENCV @ np.linalg.inv(to_world)
            cameras[int(line.split(',')[0])] = numbers, matrix
    return cameras
