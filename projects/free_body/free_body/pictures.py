# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Draw the pictures of ``docs/en/free_body.md``.

PYTHONPATH=tools python -m free_body.pictures docs/en/images
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch

from aios.body_models import SMPLXLayer, free_body_arrays
from aios.structures import SMPLX_55, Mesh
from aios.visualization import render_meshes

from .skeleton import KEY_VERTICES

_COLORS = {  # RGB of the parts of the mesh
    'skin': (0.80, 0.68, 0.60),
    'eye': (0.95, 0.95, 0.95),
    'teeth': (0.96, 0.95, 0.88),
    'tongue': (0.75, 0.35, 0.38),
    'mouth': (0.45, 0.14, 0.16),
}
_IRIS, _IRIS_COLOR = 0.0055, (0.25, 0.16, 0.1)
_ARMS_DOWN = {'left_shoulder': (0, 0, -1.15), 'right_shoulder': (0, 0, 1.15)}
_POSES: tuple[Mapping[str, tuple], ...] = (
    _ARMS_DOWN | {'left_elbow': (0, -0.3, 0), 'right_elbow': (0, 0.3, 0)},
    {
        'left_collar': (0, 0, 0.3),
        'right_collar': (0, 0, -0.3),
        'left_shoulder': (0, 0, 1.1),
        'right_shoulder': (0, 0, -1.1),
        'left_elbow': (0, -1.5, 0),
    },
    {
        'left_hip': (-1.5, 0, 0.2),
        'right_hip': (-1.5, 0, -0.2),
        'left_knee': (1.7, 0, 0),
        'right_knee': (1.7, 0, 0),
        'left_shoulder': (0, -0.9, -0.5),
        'right_shoulder': (0, 0.9, 0.5),
    },
    {
        'left_hip': (-0.8, 0, 0),
        'right_hip': (0.4, 0, 0),
        'left_knee': (0.6, 0, 0),
        'right_knee': (1.3, 0, 0),
        'spine_2': (0, 0.3, 0),
        'left_shoulder': (0.2, 0.5, -1.1),
        'right_shoulder': (0.2, -0.5, 1.1),
        'left_elbow': (0, -1.0, 0),
        'right_elbow': (0, 1.4, 0),
    },
    {
        'left_shoulder': (0, -1.4, 0),
        'right_shoulder': (0, 1.3, -0.3),
        'left_elbow': (0, -2.1, 0),
        'neck': (0, 0.5, 0),
    },
)


class _Studio:
    """One body in front of a camera."""

    def __init__(self, gender: str) -> None:
        self.layer = SMPLXLayer('free', gender=gender, flat_hand_mean=True)
        arrays = free_body_arrays(gender)
        parts = arrays['vertex_part_names'][arrays['vertex_parts']]
        self.colors = np.array([_COLORS[p] for p in parts], np.float32)
        for name in ('left_eye', 'right_eye'):
            away = (
                arrays['v_template'] - arrays['v_template'][KEY_VERTICES[name]]
            )
            iris = (np.linalg.norm(away, axis=1) < _IRIS) & (parts == 'eye')
            self.colors[iris] = _IRIS_COLOR

    def shoot(
        self,
        centre: Sequence[float],
        size: tuple[int, int],
        metres: float,
        yaw: float = 0.0,
        pitch: float = 0.0,
        **parameters: torch.Tensor,
    ) -> np.ndarray:
        """Picture (H, W, 3) of ``metres`` height about ``centre``."""
        vertices = self.layer(**parameters).vertices[0].numpy()
        turn_y = _rotation(1, yaw)
        turn_x = _rotation(0, pitch)
        seen = (vertices - np.array(centre)) @ (turn_x @ turn_y).T
        seen = seen * [1, -1, -1] + [0, 0, 3.0]
        width, height = size
        focal = height * 3.0 / metres
        camera = np.array(
            [[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]
        )
        mesh = Mesh(
            seen.astype(np.float32), self.layer.faces.numpy(), self.colors
        )
        background = np.full((height, width, 3), 255, np.uint8)
        return render_meshes(
            [mesh],
            camera,
            height,
            width,
            background=background,
            supersample=2,
        ).image


def draw_all(folder: Path) -> list[Path]:
    """Write the pictures and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    neutral = _Studio('neutral')
    pictures = {
        'free_body_poses.png': _poses(neutral),
        'free_body_shapes.png': _shapes(neutral),
        'free_body_faces.png': _faces(neutral),
        'free_body_hands.png': _hands(neutral),
    }
    paths = []
    for name, picture in pictures.items():
        paths.append(folder / name)
        bgr = np.ascontiguousarray(picture[..., ::-1])
        cv2.imwrite(str(paths[-1]), bgr, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return paths


def _poses(neutral: _Studio) -> np.ndarray:
    """Three genders standing, then poses of the neutral body."""
    where = {'centre': (0, -0.35, 0), 'size': (190, 330), 'metres': 2.2}
    standing = _pose(_POSES[0])
    first = [
        _Studio(gender).shoot(yaw=yaw, body_pose=standing, **where)
        for gender in ('neutral', 'male', 'female')
        for yaw in (0.5, -2.4)
    ]
    second = [
        neutral.shoot(yaw=0.6, body_pose=_pose(pose), **where)
        for pose in _POSES[1:]
    ]
    where['centre'] = (0, -0.15, 0)
    second[0] = neutral.shoot(yaw=0.4, body_pose=_pose(_POSES[1]), **where)
    close = {'centre': (0.1, 0.02, 0), 'size': (190, 330), 'metres': 0.9}
    second += [
        neutral.shoot(yaw=yaw, body_pose=_pose(_POSES[1]), **close)
        for yaw in (0.3, 2.8)
    ]
    return _sheet([first, second])


def _shapes(neutral: _Studio) -> np.ndarray:
    """Every shape direction at -2.5 (left) and +2.5 (right)."""
    pose = _pose(_POSES[0])
    cells = []
    for index in range(10):
        for value in (-2.5, 2.5):
            betas = torch.zeros(1, 10)
            betas[0, index] = value
            cell = neutral.shoot(
                (0, -0.35, 0),
                (118, 230),
                2.1,
                0.45,
                betas=betas,
                body_pose=pose,
            )
            cells.append(_labelled(cell, f'{index}: {value:+.1f}'))
    return _sheet([cells[:10], cells[10:]])


def _faces(neutral: _Studio) -> np.ndarray:
    """The jaw, then every expression direction at -2 and +2."""
    face = {'centre': (0, 0.26, 0.05), 'size': (150, 170), 'metres': 0.29}
    jaw = torch.tensor([[0.35, 0.0, 0.0]])
    cells = []
    for index in range(10):
        for value in (-2.0, 2.0):
            expression = torch.zeros(1, 10)
            expression[0, index] = value
            cell = neutral.shoot(expression=expression, **face)
            cells.append(_labelled(cell, f'{index}: {value:+.0f}'))
    first = [neutral.shoot(**face), neutral.shoot(yaw=0.8, **face)]
    first += [
        neutral.shoot(yaw=yaw, pitch=pitch, jaw_pose=jaw, **face)
        for yaw, pitch in ((0, 0), (0.6, 0), (0, 0.3), (0, -0.5))
    ]
    blank = np.full_like(first[0], 255)
    first += [blank] * (10 - len(first))
    return _sheet([first, cells[:10], cells[10:]])


def _hands(neutral: _Studio) -> np.ndarray:
    """The flat hand, the mean hand, a fist and a pointing finger."""
    fist = torch.zeros(1, 15, 3)
    fist[:, :12, 2] = -1.2
    fist[:, 12:] = torch.tensor([[0.3, 0.7, -0.2], [0, 0, 0], [0, 0.6, 0]])
    pointing = fist.clone()
    pointing[:, :3] = 0
    mean = neutral.layer.hand_mean.reshape(2, 1, 15, 3)[0]
    rows = []
    for pitch, yaw in ((1.45, 0), (0.3, 0.7)):
        rows.append(
            [
                neutral.shoot(
                    (0.77, 0.07, 0.04),
                    (220, 190),
                    0.24,
                    yaw,
                    pitch,
                    left_hand_pose=pose,
                )
                for pose in (torch.zeros(1, 15, 3), mean, fist, pointing)
            ]
        )
    return _sheet(rows)


def _pose(rotations: Mapping[str, tuple]) -> torch.Tensor:
    pose = torch.zeros(1, 21, 3)
    for name, vector in rotations.items():
        pose[0, SMPLX_55.index(name) - 1] = torch.tensor(vector)
    return pose


def _rotation(axis: int, angle: float) -> np.ndarray:
    vector = np.zeros(3)
    vector[axis] = angle
    return cv2.Rodrigues(vector)[0]


def _labelled(cell: np.ndarray, text: str) -> np.ndarray:
    cell = np.ascontiguousarray(cell)
    font, grey = cv2.FONT_HERSHEY_SIMPLEX, (90, 90, 90)
    return cv2.putText(cell, text, (4, 14), font, 0.42, grey, 1, cv2.LINE_AA)


def _sheet(rows: list[list[np.ndarray]]) -> np.ndarray:
    return np.vstack([np.hstack(row) for row in rows])


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('folder', type=Path)
    for written in draw_all(parser.parse_args().folder):
        print(written)
