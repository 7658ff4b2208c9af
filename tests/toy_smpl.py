# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Files in SMPL format, created from the free body.

Their bodies have 6890 vertices of the free body, with fingers and face at
rest: a SMPL-X body with flat hands and a SMPL body with the same parameters
have the same vertices.
"""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
from scipy import sparse

from aios.body_models import SMPL_FEET, VERTEX_JOINTS
from aios.body_models.files import load_body_model_arrays

NUM_VERTICES = 6890
# Where fingers, jaw and eyeballs of SMPL-X hang in SMPL.
_HANDS = {22: range(25, 40), 23: range(40, 55)}
_HEAD, _FACE_JOINTS = 15, (22, 23, 24)


def chosen_vertices() -> np.ndarray:
    """``(6890,)`` ids of the free body; feet where SMPL has them."""
    ids = np.linspace(0, 10474, NUM_VERTICES).round().astype(np.int64)
    for name, place in SMPL_FEET.items():
        ids[place] = VERTEX_JOINTS[name]
    return ids


def make_toy_smpl(free_body: Path, folder: Path) -> Path:
    """Write body models of both kinds and the files between them.

    Args:
        free_body: Folder of the free body.
        folder: Folder to write.

    Returns:
        ``folder``, for ``model_path``.
    """
    shutil.copytree(free_body, folder, copy_function=os.symlink)
    (folder / 'smpl').mkdir()
    for gender in ('NEUTRAL', 'MALE', 'FEMALE'):
        source = free_body / f'smplx/SMPLX_{gender}.npz'
        arrays = _smpl_arrays(load_body_model_arrays(source))
        if gender == 'MALE':  # as the site has it: sparse, pickled
            arrays['J_regressor'] = sparse.csc_matrix(arrays['J_regressor'])
            name = 'basicmodel_m_lbs_10_207_0_v1.1.0.pkl'
            (folder / 'smpl' / name).write_bytes(pickle.dumps(arrays, 2))
        else:
            np.savez(folder / f'smpl/SMPL_{gender}.npz', **arrays)
    rows = np.arange(NUM_VERTICES)
    matrix = sparse.csr_matrix(
        (np.ones(NUM_VERTICES), (rows, chosen_vertices())),
        shape=(NUM_VERTICES, 2 * 10475),
    )
    path = folder / 'smplx/smplx2smpl_deftrafo_setup.pkl'
    path.write_bytes(pickle.dumps({'mtx': matrix, 'valid_pix_ids': rows}))
    generator = np.random.default_rng(0)
    regressor = np.zeros((17, NUM_VERTICES))
    for row in regressor:
        row[generator.choice(NUM_VERTICES, 8, replace=False)] = 1 / 8
    np.save(folder / 'smpl/J_regressor_h36m.npy', regressor)
    return folder


def _smpl_arrays(smplx: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    ids = chosen_vertices()
    weights = smplx['weights'][ids]
    joints = [*range(22), 25, 40]
    ours = weights[:, joints].copy()
    for place, fingers in _HANDS.items():
        ours[:, place] = weights[:, list(fingers)].sum(1)
    ours[:, _HEAD] += weights[:, list(_FACE_JOINTS)].sum(1)
    directions = smplx['shapedirs'][:, :, :10]
    posedirs = np.zeros((NUM_VERTICES, 3, 207))
    posedirs[..., :189] = smplx['posedirs'][ids][..., :189]
    tree = smplx['kintree_table'][:, joints].copy()
    tree[0, 22:] = 20, 21
    tree[1] = np.arange(24)
    # The shortest weights by which every shape has the joints of SMPL-X.
    points = np.concatenate(
        (smplx['v_template'][..., None], directions), axis=2
    )
    known = np.column_stack(
        (points[ids].reshape(NUM_VERTICES, -1), np.ones(NUM_VERTICES))
    )
    wanted = smplx['J_regressor'][joints].astype(np.float64)
    wanted = wanted @ np.column_stack(
        (points.reshape(10475, -1), np.ones(10475))
    )
    return {
        'v_template': smplx['v_template'][ids],
        'f': np.array([[0, 1, 2]]),
        'shapedirs': directions[ids],
        'posedirs': posedirs,
        'J_regressor': wanted @ np.linalg.pinv(known.astype(np.float64)),
        'weights': ours,
        'kintree_table': tree,
    }
