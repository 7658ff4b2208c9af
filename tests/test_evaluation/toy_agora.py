# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""A small version of AGORA's validation set with predictions.

Bodies are neutral free bodies, so that predictions can be exact. Images: two
with persons in a row, one without persons, one without full bodies. The second
person of the first image is not valid, the first person of the second image is
a child.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from mmengine.structures import InstanceData
from script_loader import load_script

from aios.body_models import SMPLXLayer

sys.path.insert(0, str(Path(__file__).parents[1] / 'test_datasets'))
from toy_dataframe import dump_dataframe  # noqa: E402

FOCAL = 3700.0
NAMES = ('ag_validation_bfh_a_00001', 'ag_validation_bfh_b_00002')
EMPTY = 'ag_validation_bfh_c_00003'
OTHER = 'ag_validation_body_d_00004'
COUNTS = {NAMES[0]: 3, NAMES[1]: 2, EMPTY: 0, OTHER: 1}
_POSES = {
    'global_orient': 3,
    'body_pose': 63,
    'left_hand_pose': 45,
    'right_hand_pose': 45,
    'jaw_pose': 3,
}


@dataclass
class Crowd:
    """Persons of an image.

    ``params`` by name ``(G, ...)``, ``joints`` ``(G, 144, 3)`` and
    ``vertices`` ``(G, V, 3)`` without translation, ``transl`` ``(G, 3)``,
    ``points`` ``(G, 144, 2)`` pixels at 3840 x 2160.
    """

    params: dict
    joints: np.ndarray
    vertices: np.ndarray
    transl: np.ndarray
    points: np.ndarray


class ToyAGORA:
    """Writes the data frames and creates samples.

    Args:
        root: Folder to write to.
        model_path: Folder of the body models.
    """

    def __init__(self, root: Path, model_path: str) -> None:
        layer = SMPLXLayer(model_path)
        self.crowds = {
            name: _crowd(layer, count, seed)
            for seed, (name, count) in enumerate(COUNTS.items())
        }
        self.folder = root / 'ground_truth'
        self.folder.mkdir()
        for number, names in enumerate((NAMES[:1], (NAMES[1], EMPTY, OTHER))):
            rows: dict[str, list] = {}
            for name in names:
                for key, cell in self._cells(name).items():
                    rows.setdefault(key, []).append(cell)
            file = f'validation_{number}_SMPLX_withjv.pkl'
            dump_dataframe(self.folder / file, rows)

    def _cells(self, name: str) -> dict:
        crowd = self.crowds[name]
        count = COUNTS[name]
        place = crowd.transl[:, None]
        return {
            'imgPath': f'{name}.png',
            'kid': [name == NAMES[1] and i == 0 for i in range(count)],
            'occlusion': [5.0, 30.0, 60.0][:count],
            'Yaw': [30.0, 190.0, -75.0][:count],
            'camYaw': 50.0,
            'isValid': [
                not (name == NAMES[0] and i == 1) for i in range(count)
            ],
            'gt_joints_2d': list(crowd.points[:, :127]),
            'gt_joints_3d': list((crowd.joints + place)[:, :127]),
            'gt_verts': list(crowd.vertices + place),
        }

    def sample(self, name: str, rows=None, size=(2160, 3840)) -> dict:
        """Perfect predictions of some persons, by descending score."""
        crowd = self.crowds[name]
        rows = list(range(COUNTS[name]) if rows is None else rows)
        fields = {
            f'smplx_{key}': value[rows] for key, value in crowd.params.items()
        }
        fields |= {
            'smplx_transl': crowd.transl[rows],
            'joints3d': crowd.joints[rows],
            'joints2d': crowd.points[rows] * (size[1] / 3840),
            'vertices': crowd.vertices[rows],
            'bboxes': np.zeros((len(rows), 4)),
            'scores': 0.9 - 0.1 * np.arange(len(rows)),
        }
        instances = InstanceData(
            **{k: torch.tensor(v).float() for k, v in fields.items()}
        )
        instances.labels = torch.ones(len(rows), dtype=torch.int64)
        suffix = '' if size[1] == 3840 else f'_{size[1]}x{size[0]}'
        return {
            'img_id': list(COUNTS).index(name),
            'img_path': f'images/validation/{name}{suffix}.png',
            'ori_shape': size,
            'pred_instances': instances,
        }

    def samples(self, size=(2160, 3840)) -> list[dict]:
        """Perfect predictions of all valid persons."""
        rows = {NAMES[0]: [0, 2]}
        return [self.sample(name, rows.get(name), size) for name in COUNTS]


def _crowd(layer: SMPLXLayer, count: int, seed: int) -> Crowd:
    rng = np.random.default_rng(seed)
    params = {
        name: rng.normal(0, 0.1, (count, size)).astype(np.float32)
        for name, size in _POSES.items()
    }
    params['global_orient'] += (np.pi, 0, 0)
    for name in ('betas', 'expression'):
        params[name] = rng.normal(0, 0.5, (count, 10)).astype(np.float32)
    with torch.no_grad():
        body = layer(**{k: torch.tensor(v) for k, v in params.items()})
    joints, vertices = body.joints.numpy(), body.vertices.numpy()
    transl = np.tile((0.0, 0.0, 6.0), (count, 1)).astype(np.float32)
    transl[:, 0] = 1.5 * np.arange(count) - 1.5
    placed = joints + transl[:, None]
    points = placed[..., :2] / placed[..., 2:] * FOCAL + (1920, 1080)
    return Crowd(params, joints, vertices, transl, points)


def load_tool(name: str) -> ModuleType:
    """Module of a tool, such as ``'misc/check_submission'``."""
    return load_script(f'tools/{name}.py')
