# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Random bodies in front of cameras, for small versions of releases."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy.spatial.transform import Rotation

from aios.datasets.converters.bodies import POSES


def to_matrix(rotvec):
    return Rotation.from_rotvec(rotvec).as_matrix()


@dataclass
class Truth:
    """Expected content of a converted file.

    ``persons``: image to a list of (joints (144, 3), pixels (144, 2)).
    """

    persons: dict = field(default_factory=dict)

    def add(self, name, joints, camera):
        pixels = joints[:, :2] / joints[:, 2:] * camera[:2] + camera[2:4]
        self.persons.setdefault(name, []).append((joints, pixels))


def sample_params(rng, count, betas=10, spread=0.15):
    """Mild random bodies about 4 m in front of a camera, upright."""
    params = {
        name: rng.normal(0, spread, (count, size))
        for name, size in POSES.items()
    }
    params['leye_pose'][:] = params['reye_pose'][:] = 0
    params['global_orient'] += (np.pi, 0, 0)
    params['betas'] = rng.normal(0, 0.5, (count, betas))
    params['expression'] = rng.normal(0, 0.5, (count, 10))
    low, high = (-0.8, -0.3, 4), (0.8, 0.3, 5)
    params['transl'] = rng.uniform(low, high, (count, 3))
    return params


def image(path, height, width):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((height, width, 3), np.uint8))


def paint(images, truth):
    """Draw the ground-truth joints into the images of a release, as dots."""
    for name, persons in truth.persons.items():
        canvas = cv2.imread(str(images / name))
        radius = max(1, canvas.shape[1] // 640)
        for _, pixels in persons:
            for x, y in pixels.round().astype(int).tolist():
                cv2.circle(canvas, (x, y), radius, (255, 255, 255), -1)
        cv2.imwrite(str(images / name), canvas)


def rows_of(params, row):
    return {name: value[row : row + 1] for name, value in params.items()}


def random_motion(rng):
    motion = np.eye(4)
    turn = np.array([0.1, 0.6, -0.2]) + rng.normal(0, 0.05, 3)
    motion[:3, :3] = to_matrix(turn)
    motion[:3, 3] = rng.normal(0, 1, 3)
    return motion


def move_back(params, joints, motion):
    """Root pose and translation before a rigid motion is applied."""
    inverse = np.linalg.inv(motion)
    root = inverse[:3, :3] @ to_matrix(params['global_orient'])
    pelvis = joints[:, 0] @ inverse[:3, :3].T + inverse[:3, 3]
    rest = joints[:, 0] - params['transl']
    return {
        **params,
        'global_orient': Rotation.from_matrix(root).as_rotvec(),
        'transl': pelvis - rest,
    }


def hide_files(root):
    """Beside every file the hidden one that macOS adds to it."""
    for path in [path for path in root.rglob('*') if path.is_file()]:
        path.with_name(f'._{path.name}').write_bytes(b'\x00\x05\x16\x07')
    for folder in [path for path in root.rglob('*') if path.is_dir()]:
        (folder / '.ipynb_checkpoints').mkdir()
