# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Skinning weights: 163 MakeHuman bones folded into the 55 joints."""

from __future__ import annotations

import numpy as np

from .makehuman import MakeHumanData
from .mesh_ops import smooth, smooth_step
from .skeleton import MIRRORED_JOINTS, NUM_JOINTS, joint

_FINGER_OF_NUMBER = {
    '1': 'thumb',
    '2': 'index',
    '3': 'middle',
    '4': 'ring',
    '5': 'pinky',
}
# Bone name (without its side) -> joint. A leading underscore stands for the
# side.
_ONE_JOINT = {
    'root': 'pelvis',
    'pelvis': 'pelvis',
    'spine05': 'pelvis',
    'spine03': 'spine_1',
    'spine01': 'spine_3',
    'neck01': 'neck',
    'neck02': 'neck',
    'clavicle': '_collar',
    'shoulder01': '_collar',
    'upperarm01': '_shoulder',
    'upperarm02': '_shoulder',
    'lowerarm01': '_elbow',
    'lowerarm02': '_elbow',
    'wrist': '_wrist',
    'upperleg01': '_hip',
    'upperleg02': '_hip',
    'lowerleg01': '_knee',
    'lowerleg02': '_knee',
    'foot': '_ankle',
}
_TWO_JOINTS = {
    'spine04': {'pelvis': 0.5, 'spine_1': 0.5},
    'breast': {'spine_2': 0.5, 'spine_3': 0.5},
    'neck03': {'neck': 0.4, 'head': 0.6},
}
_SMOOTHING = (  # joints around which weights are smoothed, and steps
    (('left_shoulder', 'left_collar', 'spine_3'), 10),
    (('left_hip', 'pelvis'), 6),
    (('left_elbow', 'left_shoulder'), 3),
    (('left_knee', 'left_hip'), 3),
    (('left_wrist', 'left_elbow'), 2),
    (('left_ankle', 'left_knee'), 2),
    (('pelvis', 'spine_1', 'spine_2', 'spine_3', 'neck'), 4),
)


def fold_weights(
    data: MakeHumanData, vertices: np.ndarray, joints: np.ndarray
) -> np.ndarray:
    """Sum the bones' weights by joint.

    Args:
        data: MakeHuman data.
        vertices: (N, 3) in the rest pose.
        joints: (55, 3).

    Returns:
        (N, 55), symmetric; rows sum to one (or to zero where MakeHuman
        has no weights).
    """
    weights = np.zeros((len(vertices), NUM_JOINTS))
    jaw_bones = _below(data, 'jaw')
    for column, bone in enumerate(data.bones):
        share = data.bone_weights[:, column]
        if bone == 'spine02':
            y = joints[joint('spine_2'), 1]
            up = smooth_step(vertices[:, 1], y - 0.05, y + 0.05)
            weights[:, joint('spine_1')] += share * (1 - up)
            weights[:, joint('spine_2')] += share * up
            continue
        for name, part in _joints_of(bone, jaw_bones).items():
            weights[:, joint(name)] += part * share
    return _symmetric(data, weights)


def smooth_weights(
    data: MakeHumanData, weights: np.ndarray, faces: np.ndarray
) -> np.ndarray:
    """Smooth the transitions between joints that bend most.

    The face, the mouth and the fingers keep MakeHuman's own weights.
    """
    fixed = np.isin(weights.argmax(1), [joint('head'), joint('jaw')])
    fixed |= weights[:, joint('left_index_1') :].sum(1) > 0.05
    for names, steps in _SMOOTHING:
        own = [joint(n) for n in names]
        both = sorted({*own, *(int(MIRRORED_JOINTS[i]) for i in own)})
        # Strong at vertices that several of these joints influence.
        shared = 1 - (weights[:, both] ** 2).sum(1)
        inside = weights[:, both].sum(1)
        mask = np.clip(4 * shared * inside, 0, 1) * ~fixed
        spread = smooth(mask[:, None], faces, np.ones(len(mask)), 2)[:, 0]
        weights = smooth(weights, faces, np.clip(spread, 0, 1) * ~fixed, steps)
    return _symmetric(data, weights)


def crease_mask(weights: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """Strength (N,) in 0..1 of creases caused by the change of pose."""
    pairs = (
        ('left_shoulder', 'left_collar'),
        ('left_shoulder', 'spine_3'),
        ('left_collar', 'spine_3'),
        ('left_hip', 'pelvis'),
        ('left_elbow', 'left_shoulder'),
    )
    mask = np.zeros(len(weights))
    for first, second in pairs:
        a, b = joint(first), joint(second)
        for i, k in ((a, b), (MIRRORED_JOINTS[a], MIRRORED_JOINTS[b])):
            mask += 4 * weights[:, i] * weights[:, k]
    trunk = [joint(n) for n in ('pelvis', 'spine_1', 'spine_2', 'spine_3')]
    front = np.isin(weights.argmax(1), trunk) & (vertices[:, 2] > 0)
    return np.clip(np.maximum(mask, 0.4 * front), 0, 1)


def _joints_of(bone: str, jaw_bones: set[str]) -> dict[str, float]:
    side = {'.L': 'left', '.R': 'right'}.get(bone[-2:], '')
    name = bone[:-2] if side else bone
    if name in _TWO_JOINTS:
        return _TWO_JOINTS[name]
    if name in _ONE_JOINT:
        target = _ONE_JOINT[name]
        return {side + target if target[0] == '_' else target: 1.0}
    if name.startswith('finger'):
        number, phalanx = name.removeprefix('finger').split('-')
        return {f'{side}_{_FINGER_OF_NUMBER[number]}_{phalanx}': 1.0}
    if name.startswith('metacarpal'):
        return {f'{side}_wrist': 1.0}
    if name.startswith('toe'):
        return {f'{side}_foot': 1.0}
    return {'jaw' if bone in jaw_bones else 'head': 1.0}


def _below(data: MakeHumanData, root: str) -> set[str]:
    """A bone and all its descendants; bones come parents first."""
    found = {root}
    for bone in data.bones:
        if data.parent(bone) in found:
            found.add(bone)
    return found


def _symmetric(data: MakeHumanData, weights: np.ndarray) -> np.ndarray:
    """Copy the left side to the right, average the middle, normalize rows."""
    mirrored = weights[data.mirror][:, MIRRORED_JOINTS]
    out = np.where(data.left[:, None], weights, mirrored)
    middle = 0.5 * (weights + mirrored)
    out = np.where(data.middle[:, None], middle, out)
    total = out.sum(1, keepdims=True)
    return out / np.where(total > 1e-9, total, np.inf)


def largest(weights: np.ndarray, count: int, floor: float) -> np.ndarray:
    """Keep at most ``count`` weights above ``floor`` in each row."""
    kept = np.where(weights < floor, 0, weights)
    threshold = -np.sort(-kept, axis=1)[:, count - 1 : count]
    kept = np.where(kept < threshold, 0, kept)
    return kept / kept.sum(1, keepdims=True)
