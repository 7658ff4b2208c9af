# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Conversion from MakeHuman's A-pose to the rest pose of the SMPL family.

In the rest pose arms are horizontal with palms down, fingers straight and
slightly spread, legs straight and slightly apart, and feet point forward.
The mesh is skinned by the 163 bones of the rig with dual quaternions (Kavan
et al., "Skinning with Dual Quaternions", 2007), since linear blending would
flatten the shoulders.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from .makehuman import MakeHumanData
from .mesh_ops import unit
from .skeleton import (
    MIRROR_X,
    MIRRORED_JOINTS,
    NUM_JOINTS,
    is_left,
    is_right,
    joint,
)

_X, _Y, _Z = np.eye(3)
_CLAVICLE_LIFT, _SCAPULA_LIFT = np.deg2rad(5), np.deg2rad(14)
_UPPER_ARM = np.array([1, -0.03, -0.05])
_FOREARM = np.array([1, 0, 0.02])
_HAND = np.array([1, -0.02, 0])
_THIGH = np.array([0.07, -1, 0])
_SHIN = np.array([0.01, -1, -0.07])
_FOOT_YAW = np.deg2rad(10)
_FINGER_NUMBERS = {'thumb': 1, 'index': 2, 'middle': 3, 'ring': 4, 'pinky': 5}
_FAN = {'index': 6.0, 'middle': 1.0, 'ring': -4.5, 'pinky': -11.0}  # degrees
_THUMB = ([0.62, -0.25, 0.72], [0.80, -0.20, 0.56], [0.86, -0.15, 0.48])


@dataclass(frozen=True)
class RestBody:
    """One shaped body in the rest pose (meters).

    Attributes:
        vertices: (N, 3) exactly symmetric; all MakeHuman vertices.
        joints: (55, 3) exactly symmetric.
        eye_radius: Of the eyeball.
        finger_tips: Tip (3,) of each left finger by name.
    """

    vertices: np.ndarray
    joints: np.ndarray
    eye_radius: float
    finger_tips: dict[str, np.ndarray]


def repose(data: MakeHumanData, vertices: np.ndarray) -> RestBody:
    """Convert a shaped MakeHuman mesh (N, 3) to the rest pose."""

    def cube(name: str) -> np.ndarray:
        return data.cube(vertices, f'joint-{name}')

    turns = _arm_turns(cube) | _leg_turns(cube)
    turns |= _finger_turns(cube, turns['wrist.L'])
    poses = _bone_poses(data, vertices, turns)

    def moved(bone: str, point: np.ndarray) -> np.ndarray:
        rotation, translation = poses[bone]
        return rotation @ point + translation

    posed = _skin(data, vertices, poses)
    eye = data.group('helper-l-eye')
    radius = np.linalg.norm(vertices[eye] - cube('l-eye'), axis=1)
    return RestBody(
        data.symmetric(posed),
        _joints(cube, moved),
        float(np.median(radius)),
        {
            name: moved(f'finger{k}-3.L', cube(f'l-finger-{k}-4'))
            for name, k in _FINGER_NUMBERS.items()
        },
    )


def _arm_turns(cube: Callable) -> dict[str, np.ndarray]:
    """Rotations of the left arm, from the flexion plane of its elbow.

    Aligning both segments with that plane makes elbow flexion a rotation
    about the y axis of the rest pose, as in the SMPL family.
    """
    shoulder, elbow, wrist = (
        cube(f'l-{name}') for name in ('shoulder', 'elbow', 'hand')
    )
    upper, fore = elbow - shoulder, wrist - elbow
    hinge = np.cross(upper, fore)
    upper_turn = _frame_turn(upper, hinge, _UPPER_ARM, -_Y)
    fore_turn = _frame_turn(fore, hinge, _FOREARM, -_Y)
    hand = cube('l-finger-3-1') - wrist
    across = cube('l-finger-2-1') - cube('l-finger-5-1')
    hand_turn = _frame_turn(hand, across, _HAND, _Z)
    # The palm turns down; the forearm is twisted proportionally.
    rest = hand_turn @ fore_turn.T
    twist = np.arctan2(rest[2, 1] - rest[1, 2], rest[1, 1] + rest[2, 2])
    return {
        'clavicle.L': _turn(_Z, _CLAVICLE_LIFT),
        'shoulder01.L': _turn(_Z, _SCAPULA_LIFT),
        'upperarm01.L': upper_turn,
        'upperarm02.L': upper_turn,
        'lowerarm01.L': _turn(_X, twist * 0.25) @ fore_turn,
        'lowerarm02.L': _turn(_X, twist * 0.75) @ fore_turn,
        'wrist.L': hand_turn,
    }


def _finger_turns(cube: Callable, hand: np.ndarray) -> dict[str, np.ndarray]:
    turns = {}
    for name, k in _FINGER_NUMBERS.items():
        for i in (1, 2, 3):
            bone = cube(f'l-finger-{k}-{i + 1}') - cube(f'l-finger-{k}-{i}')
            if name == 'thumb':
                aim = np.array(_THUMB[i - 1])
            else:
                angle = np.deg2rad(_FAN[name])
                aim = np.array([np.cos(angle), -0.02, np.sin(angle)])
            turns[f'finger{k}-{i}.L'] = _shortest_turn(hand @ bone, aim) @ hand
    return turns


def _leg_turns(cube: Callable) -> dict[str, np.ndarray]:
    hip, knee, ankle = (
        cube(f'l-{name}') for name in ('upper-leg', 'knee', 'ankle')
    )
    thigh = _shortest_turn(knee - hip, _THIGH)
    shin = _shortest_turn(ankle - knee, _SHIN)
    foot = cube('l-toe-2-1') - ankle
    return {
        'upperleg01.L': thigh,
        'upperleg02.L': thigh,
        'lowerleg01.L': shin,
        'lowerleg02.L': shin,
        'foot.L': _turn(_Y, _FOOT_YAW - np.arctan2(foot[0], foot[2])),
    }


def _bone_poses(data, vertices, turns):
    """World rotation and translation of every bone, mirrored to the right."""
    poses = {}
    for bone in data.bones:
        head = data.bone_head(vertices, bone)
        if bone.endswith('.R'):
            left = bone[:-2] + '.L'
            head = data.bone_head(vertices, left) * MIRROR_X
            turn = turns.get(left)
            if turn is not None:
                turn = turn * np.outer(MIRROR_X, MIRROR_X)
        else:
            turn = turns.get(bone)
            if not bone.endswith('.L'):
                head = head * [0, 1, 1]
        parent = data.parent(bone)
        above = poses[parent] if parent else (np.eye(3), np.zeros(3))
        if turn is None:
            turn = above[0]
        poses[bone] = (turn, above[0] @ head + above[1] - turn @ head)
    return poses


def _skin(data, vertices, poses):
    """Dual-quaternion skinning; unweighted points do not move."""
    rotations = np.stack([poses[b][0] for b in data.bones])
    shifts = np.stack([poses[b][1] for b in data.bones])
    real = Rotation.from_matrix(rotations).as_quat(canonical=True)
    dual = 0.5 * _quaternion_product(
        np.concatenate([shifts, np.zeros((len(shifts), 1))], 1), real
    )
    weights = data.bone_weights
    real, dual = weights @ real, weights @ dual
    free = np.linalg.norm(real, axis=1) < 1e-6
    real[free] = [0, 0, 0, 1]
    length = np.linalg.norm(real, axis=1, keepdims=True)
    real, dual = real / length, dual / length
    conjugate = real * [-1, -1, -1, 1]
    shift = 2 * _quaternion_product(dual, conjugate)[:, :3]
    out = Rotation.from_quat(real).apply(vertices) + shift
    out[free] = vertices[free]
    return out


def _joints(cube: Callable, moved: Callable) -> np.ndarray:
    """The 55 joints from the joint cubes of the left half."""
    spine = {i: cube(f'spine-{i}') for i in (1, 2, 3, 4)}
    head = cube('head')
    jaw_hinge = np.array([0, head[1] - 0.012, head[2] + 0.01])
    collar = 0.65 * cube('l-clavicle') + 0.35 * cube('l-scapula')
    places = {
        'pelvis': ('root', 0.45 * cube('pelvis') + 0.55 * spine[4]),
        'spine_1': ('spine03', spine[3]),
        'spine_2': ('spine02', 0.5 * (spine[1] + spine[2])),
        'spine_3': ('spine01', spine[1]),
        'neck': ('neck01', cube('neck')),
        'head': ('head', head),
        'jaw': ('head', 0.3 * cube('mouth') + 0.7 * jaw_hinge),
        'left_eyeball': ('head', cube('l-eye')),
        'left_collar': ('clavicle.L', collar + [0, 0, -0.03]),
        'left_shoulder': ('upperarm01.L', cube('l-shoulder')),
        'left_elbow': ('lowerarm01.L', cube('l-elbow')),
        'left_wrist': ('wrist.L', cube('l-hand')),
        'left_hip': ('upperleg01.L', cube('l-upper-leg')),
        'left_knee': ('lowerleg01.L', cube('l-knee')),
        'left_ankle': ('foot.L', cube('l-ankle')),
        'left_foot': ('foot.L', cube('l-toe-2-1') + [0, 0.003, -0.012]),
    }
    for name, k in _FINGER_NUMBERS.items():
        for i in (1, 2, 3):
            where = cube(f'l-finger-{k}-{i}')
            places[f'left_{name}_{i}'] = (f'finger{k}-{i}.L', where)
    joints = np.zeros((NUM_JOINTS, 3))
    for name, (bone, point) in places.items():
        joints[joint(name)] = moved(bone, point)
    for i in range(NUM_JOINTS):
        if is_right(i):
            joints[i] = joints[MIRRORED_JOINTS[i]] * MIRROR_X
        elif not is_left(i):
            joints[i, 0] = 0
    return joints


def _turn(axis: np.ndarray, angle: float) -> np.ndarray:
    return Rotation.from_rotvec(unit(axis) * angle).as_matrix()


def _shortest_turn(source: np.ndarray, aim: np.ndarray) -> np.ndarray:
    source, aim = unit(source), unit(aim)
    axis = np.cross(source, aim)
    sine = np.linalg.norm(axis)
    if sine < 1e-9:
        return np.eye(3)
    return _turn(axis, np.arctan2(sine, source @ aim))


def _frame_turn(source, side, aim, aim_side) -> np.ndarray:
    """Rotation of a direction and a side vector to new ones."""

    def frame(direction, other):
        direction = unit(direction)
        other = unit(other - direction * (other @ direction))
        return np.stack([direction, other, np.cross(direction, other)], 1)

    return frame(aim, aim_side) @ frame(source, side).T


def _quaternion_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hamilton product of quaternions (..., [x, y, z, w])."""
    av, aw, bv, bw = a[..., :3], a[..., 3:], b[..., :3], b[..., 3:]
    vector = aw * bv + bw * av + np.cross(av, bv)
    return np.concatenate(
        [vector, aw * bw - (av * bv).sum(-1, keepdims=True)], -1
    )
