# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""ARCTIC, fixed cameras: one person per sequence, captured by markers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aios.utils.folders import visible_paths
from aios.utils.safe_io import load_npy

from .base import Converter, ConverterError, reading
from .bodies import (
    POSES,
    fit_shape,
    model_joints,
    move_root,
    neutral_betas,
    smplx_joints,
)
from .coco import read_json
from .table import Cameras, PersonTable, concatenate, posed_columns

_SPLITS = 'splits_json/protocol_p1.json'
_CAMERAS = 8
_MARGIN = 10  # images


@dataclass(eq=False)
class ARCTICConverter(Converter):
    """ARCTIC's protocol 1: eight fixed cameras (1 to 8), not the one worn.

    The first and last ten images of a camera may be black and are left out,
    as by ARCTIC's authors.

    The release has each subject's shape as a mesh, to which ten coefficients
    of the subject's gender and ten of the neutral model are fitted (least
    squares).  Hand poses are absolute (``misc.flat_hand_mean``).

    Args:
        root: ``arctic_data/data`` with ``raw_seqs``, ``meta``,
            ``splits_json`` and ``images``.
        split: ``'train'`` or ``'val'``.
        body_models: Folder of the models of all genders.
        interval: Take every n-th image of each camera.  The release has
            more than two million; AiOS trains on every 1000th and tests on
            every 30th.
    """

    NAME = 'arctic'
    SPLITS = ('train', 'val')
    MISC = {'flat_hand_mean': True, 'smplx_source': 'original'}

    def __post_init__(self) -> None:
        super().__post_init__()
        self._subjects = read_json(self.require('meta', 'misc.json'))
        self._shapes: dict[str, dict[str, np.ndarray]] = {}

    def units(self) -> list[str]:
        """Sequences of the split, as ``s01/box_grab_01``."""
        path = self.require(_SPLITS)
        with reading(path):
            names = read_json(path)[self.split]
            return sorted(str(name).split('.')[0] for name in names)

    def convert(self, unit: str) -> PersonTable:
        """Persons of one sequence in all cameras."""
        table = PersonTable()
        subject = unit.split('/')[0]
        path = self.require('raw_seqs', f'{unit}.smplx.npy')
        content = load_npy(path, allow_objects=True)
        raw: Any = content.item() if content.ndim == 0 else None
        if not isinstance(raw, dict):
            raise ConverterError(f'{path}: must be a dictionary')
        with reading(path):
            motion = {
                k: np.asarray(raw[k], float).reshape(len(raw['transl']), -1)
                for k in ('transl', *POSES)
            }
        views = []
        for camera in range(1, _CAMERAS + 1):
            frames, paths = self._images(unit, camera, table)
            inside = (frames >= 0) & (frames < len(motion['transl']))
            table.counts['image without labels'] += int((~inside).sum())
            frames, paths = frames[inside], paths[inside]
            if len(frames):
                rows = {k: v[frames] for k, v in motion.items()}
                views.append(self._view(subject, camera, rows, paths))
        table.columns = concatenate(views)
        table.drop_empty_boxes()
        return table

    def image_root(self) -> Path:
        """``images`` of the release (as in published files), or the root."""
        images = self.root / 'images'
        return images if images.is_dir() else self.root

    def _images(
        self, unit: str, camera: int, table: PersonTable
    ) -> tuple[np.ndarray, np.ndarray]:
        """Frames of the motion, and paths of their existing images."""
        folder = self.image_root() / unit / str(camera)
        files = {int(f.stem): f for f in visible_paths(folder, '*.jpg')}
        if not files:
            table.counts['camera without images'] += 1
        first = min(files, default=0) + _MARGIN
        last = max(files, default=0) - _MARGIN
        taken = [n for n in sorted(files) if first <= n <= last]
        table.counts['first or last ten images'] += len(files) - len(taken)
        taken = taken[:: self.interval]
        offset = int(self._info(unit.split('/')[0])['ioi_offset'])
        frames = np.array(taken, np.int64) - offset
        paths = [f'{unit}/{camera}/{files[n].name}' for n in taken]
        return frames, np.array(paths, dtype=str)

    def _view(
        self,
        subject: str,
        camera: int,
        motion: dict[str, np.ndarray],
        paths: np.ndarray,
    ) -> dict[str, np.ndarray]:
        """Rows of one camera."""
        info, shape = self._info(subject), self._shape(subject)
        world = np.asarray(info['world2cam'][camera - 1], np.float64)
        matrix = np.asarray(info['intris_mat'][camera - 1], np.float64)
        sizes = info['image_size']
        # The worn camera comes first if it is listed.
        width, height = sizes[camera if len(sizes) > _CAMERAS else camera - 1]
        count = len(paths)
        params = dict(motion)
        orient, moved = move_root(
            motion['global_orient'],
            motion['transl'],
            motion['transl'] + shape['pelvis'],
            world[:3, :3],
            world[:3, 3],
        )
        params['global_orient'] = orient
        # The pelvis of the fitted body differs slightly from the subject's.
        params['transl'] = moved + shape['pelvis'] - shape['fitted_pelvis']
        params['betas'] = np.tile(shape['betas'], (count, 1))
        params['expression'] = np.zeros((count, 10))
        gender = str(info['gender'])
        joints = smplx_joints(params, self.body_models, gender, True)
        params['betas_neutral'] = np.tile(shape['betas_neutral'], (count, 1))
        cameras = Cameras.repeated(matrix, (height, width), count)
        return posed_columns(paths, params, joints, cameras, gender)

    def _info(self, subject: str) -> dict[str, Any]:
        if subject not in self._subjects:
            raise ConverterError(
                f'{self.root}/meta/misc.json: has no subject {subject!r}'
            )
        return self._subjects[subject]

    def _shape(self, subject: str) -> dict[str, np.ndarray]:
        """Coefficients and pelvis of a subject's rest body."""
        if subject not in self._shapes:
            path = self.require('meta/subject_vtemplates', f'{subject}.obj')
            vertices = _obj_vertices(path)
            gender = str(self._info(subject)['gender'])
            with reading(path):
                betas = fit_shape(vertices[None], self.body_models, gender)
            fitted = smplx_joints({'betas': betas}, self.body_models, gender)
            self._shapes[subject] = {
                'betas': betas,
                'betas_neutral': neutral_betas(
                    betas, self.body_models, gender
                ),
                'pelvis': model_joints(vertices, self.body_models, gender)[0],
                'fitted_pelvis': fitted[0, 0].astype(np.float64),
            }
        return self._shapes[subject]


def _obj_vertices(path: Path) -> np.ndarray:
    """Vertices ``(V, 3)`` of a Wavefront file."""
    with reading(path), open(path, encoding='utf-8') as file:
        rows = [line.split()[1:4] for line in file if line.startswith('v ')]
        return np.array(rows, np.float64).reshape(-1, 3)
