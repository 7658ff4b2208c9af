# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""An SMPL-X body that is a hash of names, for the parity tests.

The original network was run with this body, so that no licensed file is
needed to compare with it. It has the sizes and the tree of SMPL-X and rough
bone lengths; everything else is noise.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from oracle_weights import bits, uniform

NUM_VERTICES, NUM_FACES, NUM_JOINTS = 10475, 20908, 55
# fmt: off
PARENTS = np.array([
    -1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19,
    15, 15, 15,
    20, 25, 26, 20, 28, 29, 20, 31, 32, 20, 34, 35, 20, 37, 38,
    21, 40, 41, 21, 43, 44, 21, 46, 47, 21, 49, 50, 21, 52, 53,
])
BONES = np.zeros((NUM_JOINTS, 3))  # from the parent, meters, T-pose, y up
BONES[1:25] = [
    (.07, -.09, 0), (-.07, -.09, 0), (0, .11, 0), (.03, -.38, 0),
    (-.03, -.38, 0), (0, .13, 0), (-.01, -.42, -.03), (.01, -.42, -.03),
    (0, .06, 0), (.03, -.05, .12), (-.03, -.05, .12), (0, .17, -.02),
    (.08, .09, 0), (-.08, .09, 0), (0, .16, .03), (.1, .02, 0),
    (-.1, .02, 0), (.26, 0, 0), (-.26, 0, 0), (.25, 0, 0), (-.25, 0, 0),
    (0, -.02, .02), (.03, .04, .07), (-.03, .04, .07),
]
# fmt: on
for _first, _side in ((25, 1.0), (40, -1.0)):
    for _finger, _z in enumerate((0.03, 0.01, -0.03, -0.01, 0.05)):
        _base = 0.10 if _finger < 4 else 0.04
        _joint = _first + 3 * _finger
        BONES[_joint] = (_side * _base, -0.005, _z)
        BONES[_joint + 1] = (_side * 0.03, 0, 0.002)
        BONES[_joint + 2] = (_side * 0.025, 0, 0.002)
_HEAD = (15, 22, 23, 24)


def write_oracle_body(folder: Path) -> Path:
    """Write ``SMPLX_NEUTRAL.npz`` (120 MB) and return the folder."""
    np.savez(folder / 'SMPLX_NEUTRAL.npz', **_arrays('oracle_body.NEUTRAL.'))
    return folder


def _arrays(name: str) -> dict[str, np.ndarray]:
    owner = _choose(name + 'owner', NUM_VERTICES, NUM_JOINTS)
    owner[: NUM_JOINTS * 20] = np.repeat(np.arange(NUM_JOINTS), 20)
    faces, face_owner = _faces(name, owner)
    head = np.flatnonzero(np.isin(face_owner, _HEAD))
    dynamic = head[_choose(name + 'dyn', 79 * 17, len(head))].reshape(79, 17)
    tree = np.stack([PARENTS, np.arange(NUM_JOINTS)]).astype(np.int64)
    tree[0, 0] = 2**32 - 1
    decay = 0.012 / np.sqrt(1.0 + np.arange(400) % 300)
    components = uniform(name + 'hand', (2, 45, 45)) * 0.3
    real = {
        'v_template': _template(name, owner),
        'J_regressor': _regressor(name, owner),
        'weights': _skinning(name, owner),
        'shapedirs': uniform(name + 'shape', (NUM_VERTICES, 3, 400)) * decay,
        'posedirs': uniform(name + 'pose', (NUM_VERTICES, 3, 486)) * 0.0015,
        'hands_meanl': uniform(name + 'hml', (45,)) * 0.25,
        'hands_meanr': uniform(name + 'hmr', (45,)) * 0.25,
        'hands_componentsl': components[0],
        'hands_componentsr': components[1],
        'lmk_bary_coords': _simplex(name + 'lb', (51,)),
        'dynamic_lmk_bary_coords': _simplex(name + 'db', (79, 17)),
    }
    return {
        **{key: value.astype(np.float32) for key, value in real.items()},
        'f': faces,
        'kintree_table': tree,
        'lmk_faces_idx': head[_choose(name + 'lmk', 51, len(head))],
        'dynamic_lmk_faces_idx': dynamic,
    }


def _choose(name: str, count: int, limit: int) -> np.ndarray:
    return (bits(name, count) % np.uint64(limit)).astype(np.int64)


def _simplex(name: str, shape: tuple[int, ...]) -> np.ndarray:
    weights = 0.1 + np.abs(uniform(name, (*shape, 3)))
    return weights / weights.sum(-1, keepdims=True)


def _template(name: str, owner: np.ndarray) -> np.ndarray:
    joints = np.zeros((NUM_JOINTS, 3))
    for joint in range(1, NUM_JOINTS):
        joints[joint] = joints[PARENTS[joint]] + BONES[joint]
    radius = np.where(np.arange(NUM_JOINTS) < 22, 0.06, 0.012)[owner]
    noise = uniform(name + 'v', (NUM_VERTICES, 3))
    return joints[owner] + radius[:, None] * noise


def _regressor(name: str, owner: np.ndarray) -> np.ndarray:
    regressor = np.zeros((NUM_JOINTS, NUM_VERTICES))
    weights = 0.5 + 0.5 * np.abs(uniform(name + 'jr', (NUM_JOINTS, 16)))
    for joint, row in enumerate(weights):
        own = np.flatnonzero(owner == joint)[:16]
        regressor[joint, own] = row / row.sum()
    return regressor


def _skinning(name: str, owner: np.ndarray) -> np.ndarray:
    """Weights for the owner, its parent, its grandparent and the root."""
    share = np.array([1.0, 0.4, 0.1, 0.05])
    weights = 0.02 + np.abs(uniform(name + 'skin', (NUM_VERTICES, 4))) * share
    weights[:, 0] += 0.6
    parent = np.maximum(PARENTS[owner], 0)
    grandparent = np.maximum(PARENTS[parent], 0)
    skinning = np.zeros((NUM_VERTICES, NUM_JOINTS))
    rows = np.arange(NUM_VERTICES)
    for column, joint in enumerate((owner, parent, grandparent, 0 * owner)):
        np.add.at(skinning, (rows, joint), weights[:, column])
    return skinning / skinning.sum(1, keepdims=True)


def _faces(name: str, owner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each of three different vertices of one joint, and that joint."""
    groups = [np.flatnonzero(owner == j) for j in range(NUM_JOINTS)]
    face_owner = _choose(name + 'fo', NUM_FACES, NUM_JOINTS)
    draws = bits(name + 'f', NUM_FACES * 3).reshape(NUM_FACES, 3)
    faces = np.zeros((NUM_FACES, 3), np.uint32)
    for face, joint, (first, second, third) in zip(
        faces, face_owner, draws.tolist(), strict=True
    ):
        group = groups[joint]
        a = first % len(group)
        b = (a + 1 + second % (len(group) - 2)) % len(group)
        c = third % len(group)
        while c in (a, b):
            c = (c + 1) % len(group)
        face[:] = group[[a, b, c]]
    return faces, face_owner
