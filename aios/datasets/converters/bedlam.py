# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""BEDLAM: one label file per scene, neutral bodies, flat hands."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np

from aios.utils.folders import visible_paths
from aios.utils.safe_io import load_npz

from .base import Converter, ConverterError
from .bodies import smplx_joints
from .table import Cameras, PersonTable, posed_columns

CLOSEUP = '_closeup'
"""Part of the names of close-ups; folders of rotated images lack it."""

LABELS = 'all_npz_12_training'
"""Folder of the label files."""

# Labels of AGORA in the same folder.
_OTHER_LABELS = ('agora-bfh', 'agora-body')
_KEYS = ('imgname', 'pose_cam', 'trans_cam', 'cam_ext', 'cam_int', 'shape')
# Columns of the 55 joints' axis-angle poses.
_POSE_SLICES = {
    'global_orient': (0, 1),
    'body_pose': (1, 22),
    'jaw_pose': (22, 23),
    'leye_pose': (23, 24),
    'reye_pose': (24, 25),
    'left_hand_pose': (25, 40),
    'right_hand_pose': (40, 55),
}


@dataclass(eq=False)
class BEDLAMConverter(Converter):
    """BEDLAM's training labels ``all_npz_12_training/<scene>.npz``.

    Bodies are stored as released: the neutral model with 11 coefficients and
    absolute hand poses (``misc.flat_hand_mean``).  Images of close-ups are
    rotated by 90 degrees, except in one scene.  If the cameras of the labels
    are upright, paths name rotated copies, in folders without ``_closeup``.

    Labels of AGORA in the same folder (``agora-bfh.npz``,
    ``agora-body.npz``) are skipped.

    Args:
        root: Folder with ``all_npz_12_training`` and ``train_images``.
        split: ``'train'``; labels of the test set are not public.
        body_models: Folder of ``SMPLX_NEUTRAL.npz``.
        interval: Take every n-th image of a scene.
        labels: Folder of the label files.
    """

    NAME = 'bedlam'
    SPLITS = ('train',)
    MISC = {'flat_hand_mean': True, 'smplx_source': 'original'}
    IMAGES = 'train_images'

    labels: str = LABELS

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """``--labels``."""
        parser.add_argument(
            '--labels',
            default=LABELS,
            help='folder of the label files, relative to the root',
        )

    def units(self) -> list[str]:
        """Scenes."""
        return [
            p.stem for p in visible_paths(self.require(self.labels), '*.npz')
        ]

    def convert(self, unit: str) -> PersonTable:
        """Persons of one scene."""
        table = PersonTable()
        if unit in _OTHER_LABELS:
            table.counts["file of AGORA's labels, skipped"] += 1
            return table
        path = self.root / self.labels / f'{unit}.npz'
        raw = load_npz(path, _KEYS, allow_objects=True)
        lacking = sorted(set(_KEYS) - set(raw))
        if lacking:
            raise ConverterError(f'{path}: lacks {lacking}')
        names = raw.pop('imgname').astype(str)
        names = np.char.replace(names, '\\', '/')
        if self.interval > 1:
            _, image = np.unique(names, return_inverse=True)
            keep = image % self.interval == 0
            names = names[keep]
            raw = {k: v[keep] for k, v in raw.items()}
        if not len(names):
            return table
        pose = raw['pose_cam'].reshape(len(names), 55, 3)
        params = {k: pose[:, a:b] for k, (a, b) in _POSE_SLICES.items()}
        params['betas'] = raw['shape'][:, :11]
        params['transl'] = raw['trans_cam'] + raw['cam_ext'][:, :3, 3]
        params['expression'] = np.zeros((len(names), 10))
        joints = smplx_joints(params, self.body_models, flat_hand_mean=True)

        matrices = raw['cam_int'].astype(np.float64)
        cameras = Cameras(
            matrices[:, [0, 1], [0, 1]],
            matrices[:, :2, 2],
            image_sizes(matrices),
        )
        is_turned = CLOSEUP in unit and is_upright(matrices)
        scene = unit.replace(CLOSEUP, '') if is_turned else unit
        paths = [f'{scene}/png/{name}' for name in names]
        table.columns = posed_columns(
            paths, params, joints, cameras, 'neutral'
        )
        table.drop_empty_boxes()
        return table


def image_sizes(cameras: np.ndarray) -> np.ndarray:
    """Height and width ``(N, 2)`` of the images of cameras ``(N, 3, 3)``.

    The principal point is the center of the image.
    """
    return np.rint(2 * cameras[:, 1::-1, 2]).astype(np.int64)


def is_upright(cameras: np.ndarray) -> bool:
    """Whether images of a scene are higher than wide.

    Args:
        cameras: ``(N, 3, 3)`` of its label file.
    """
    height, width = image_sizes(cameras[:1])[0]
    return bool(height > width)
