# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""EHF: 100 images with registered SMPL-X meshes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from aios.utils.folders import visible_paths
from aios.utils.safe_io import CorruptFileError, load_npz

from .base import Converter, ConverterError, reading
from .bodies import (
    POSES,
    mesh_joints,
    move_bodies,
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

# The camera of the release, the same for all images.
FOCAL = (1498.22426237, 1498.22426237)
CENTER = (790.263706, 578.90334)
ROTATION = (-2.98747896, 0.01172457, -0.05704687)  # axis-angle
TRANSLATION = (-0.03609917, 0.43416458, 2.37101226)  # meters
SIZE = (1200, 1600)
# Optional parameters of fits, zero by default.
_OPTIONAL = ('jaw_pose', 'leye_pose', 'reye_pose')
_MAX_MISFIT = 0.03  # meters; regressed and posed joints differ slightly


@dataclass(eq=False)
class EHFConverter(Converter):
    """EHF's registered meshes in camera coordinates.

    The meshes are the ground truth (``vertices`` of the file).  Joints,
    without the contour of the face, are regressed from them.  SMPL-X
    parameters of the meshes, ``fitted_params/NN_align.npz``, are included if
    they exist; otherwise ``meta.smplx_valid`` is 0.

    Args:
        root: Folder with ``NN_img.png`` (or ``.jpg``) and ``NN_align.ply``.
        split: ``'test'``.
        body_models: Folder of ``SMPLX_NEUTRAL.npz``.
        interval: Take every n-th image.
    """

    NAME = 'ehf'
    SPLITS = ('test',)
    MISC = {'flat_hand_mean': False, 'smplx_source': 'original'}

    split: str = 'test'

    def units(self) -> list[str]:
        """All images are one unit."""
        if not self._meshes():
            raise self.missing(self.root / '*_align.ply')
        return ['all']

    def _meshes(self) -> list[Path]:
        return visible_paths(self.root, '*_align.ply')[:: self.interval]

    def convert(self, unit: str) -> PersonTable:
        """All images."""
        table, rows = PersonTable(), []
        for mesh in self._meshes():
            stem = mesh.name.removesuffix('_align.ply')
            names = (f'{stem}_img.png', f'{stem}_img.jpg')
            image = next((n for n in names if (self.root / n).is_file()), None)
            if image is None:
                table.counts['missing image'] += 1
                continue
            rows.append((image, stem, read_ply_vertices(mesh)))
        if not rows:
            return table
        count = len(rows)
        rotation = Rotation.from_rotvec(ROTATION).as_matrix()
        vertices = np.stack([r[2] for r in rows]) @ rotation.T + TRANSLATION
        joints = np.zeros((count, 144, 3))
        joints[:, :127] = mesh_joints(vertices, self.body_models)
        cameras = Cameras(
            *(np.tile(row, (count, 1)) for row in (FOCAL, CENTER, SIZE))
        )
        points = cameras.project(joints)
        points[:, 127:] = 0
        columns = joint_columns(joints, points)
        columns['keypoints3d_smplx'][:, 127:] = 0
        params, valid = self._params([r[1] for r in rows], joints, table)
        table.columns = {
            'image_path': np.array([r[0] for r in rows]),
            **box_columns(points, cameras.sizes),
            **columns,
            **smplx_columns(params),
            'vertices': vertices.astype(np.float32),
            **cameras.meta_columns('neutral', valid),
        }
        return table

    def _params(
        self, stems: list[str], joints: np.ndarray, table: PersonTable
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """Fitted parameters in camera coordinates, and their validity."""
        sizes = {'betas': 10, 'expression': 10, **POSES}
        params = {k: np.zeros((len(stems), n)) for k, n in sizes.items()}
        params['transl'] = np.zeros((len(stems), 3))
        valid = np.zeros(len(stems), bool)
        for row, stem in enumerate(stems):
            path = self.root / 'fitted_params' / f'{stem}_align.npz'
            if path.is_file():
                raw = load_npz(path)
                with reading(path):
                    for name, size in sizes.items():
                        if name in raw or name not in _OPTIONAL:
                            params[name][row] = np.ravel(raw[name])[:size]
                valid[row] = True
        table.counts['without body fit'] = int((~valid).sum())
        posed = smplx_joints(params, self.body_models)
        # Root and translation are recomputed from the mesh.
        rotation, translation, misfit = rigid_alignment(
            posed[:, :22], joints[:, :22]
        )
        table.counts['fit differs from mesh'] = int(
            (valid & (misfit > _MAX_MISFIT)).sum()
        )
        valid &= misfit <= _MAX_MISFIT
        params = move_bodies(params, posed, rotation, translation)
        for value in params.values():
            value[~valid] = 0
        return params, valid


def read_ply_vertices(path: Path) -> np.ndarray:
    """Vertices ``(V, 3)`` of a PLY file, ASCII or binary.

    Raises:
        ConverterError: If trimesh is not installed.
        CorruptFileError: If it is not such a file.
    """
    try:
        import trimesh
    except ImportError as error:
        raise ConverterError(
            f'{path}: reading meshes needs trimesh: pip install "trimesh>=4"'
        ) from error
    try:
        mesh: Any = trimesh.load(path, file_type='ply', process=False)
        return np.asarray(mesh.vertices, np.float64).reshape(-1, 3)
    except Exception as error:  # trimesh raises many types for bad bytes
        raise CorruptFileError(
            f'{path}: not a PLY mesh ({type(error).__name__}: {error})'
        ) from error
