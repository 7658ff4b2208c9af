# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Names of the bones in other programs.

The bones stay those of SMPL-X, with its hierarchy and rest pose; what changes
is what they are called.  Sources of the names:

* ``vrm``: the humanoid bones of VRM 1.0, which are those of Unity
  (https://github.com/vrm-c/vrm-specification, ``humanoid.md``).
* ``mixamo``: the skeletons of https://www.mixamo.com.  They have no jaw.
* ``unreal``: the mannequin of Unreal Engine 4.  It has no eyes and no jaw.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from .rig import JOINT_NAMES

__all__ = ['ARMATURES', 'ARMATURE_OPTION', 'bone_names']

_TRUNK = ('pelvis', 'spine_1', 'spine_2', 'spine_3', 'neck', 'head', 'jaw')
_LIMBS = (
    *('hip', 'knee', 'ankle', 'foot'),
    *('collar', 'shoulder', 'elbow', 'wrist', 'eyeball'),
)
_FINGERS = ('thumb', 'index', 'middle', 'ring', 'pinky')


def _mixamo() -> dict[str, str]:
    trunk = ('Hips', 'Spine', 'Spine1', 'Spine2', 'Neck', 'Head', 'Jaw')
    names = dict(zip(_TRUNK, trunk, strict=True))
    limbs = (
        *('UpLeg', 'Leg', 'Foot', 'ToeBase'),
        *('Shoulder', 'Arm', 'ForeArm', 'Hand', 'Eye'),
    )
    for side in ('left', 'right'):
        for ours, theirs in zip(_LIMBS, limbs, strict=True):
            names[f'{side}_{ours}'] = f'{side.capitalize()}{theirs}'
        for finger in _FINGERS:
            for number in (1, 2, 3):
                names[f'{side}_{finger}_{number}'] = (
                    f'{side.capitalize()}Hand{finger.capitalize()}{number}'
                )
    return {ours: f'mixamorig:{theirs}' for ours, theirs in names.items()}


def _unreal() -> dict[str, str]:
    trunk = (
        *('pelvis', 'spine_01', 'spine_02', 'spine_03'),
        *('neck_01', 'head', 'jaw'),
    )
    names = dict(zip(_TRUNK, trunk, strict=True))
    limbs = (
        *('thigh', 'calf', 'foot', 'ball'),
        *('clavicle', 'upperarm', 'lowerarm', 'hand', 'eye'),
    )
    for side in ('left', 'right'):
        for ours, theirs in zip(_LIMBS, limbs, strict=True):
            names[f'{side}_{ours}'] = f'{theirs}_{side[0]}'
        for finger in _FINGERS:
            for number in (1, 2, 3):
                names[f'{side}_{finger}_{number}'] = (
                    f'{finger}_0{number}_{side[0]}'
                )
    return names


def _vrm() -> dict[str, str]:
    trunk = ('hips', 'spine', 'chest', 'upperChest', 'neck', 'head', 'jaw')
    names = dict(zip(_TRUNK, trunk, strict=True))
    limbs = (
        *('UpperLeg', 'LowerLeg', 'Foot', 'Toes'),
        *('Shoulder', 'UpperArm', 'LowerArm', 'Hand', 'Eye'),
    )
    parts = ('Proximal', 'Intermediate', 'Distal')
    thumb = ('Metacarpal', 'Proximal', 'Distal')
    for side in ('left', 'right'):
        for ours, theirs in zip(_LIMBS, limbs, strict=True):
            names[f'{side}_{ours}'] = f'{side}{theirs}'
        for finger in _FINGERS:
            stem = 'Little' if finger == 'pinky' else finger.capitalize()
            for number, part in enumerate(
                thumb if finger == 'thumb' else parts, start=1
            ):
                names[f'{side}_{finger}_{number}'] = f'{side}{stem}{part}'
    return names


ARMATURES: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        'smplx': {name: name for name in JOINT_NAMES},
        'mixamo': _mixamo(),
        'unreal': _unreal(),
        'vrm': _vrm(),
    }
)
"""Names by armature and by joint of ``smplx_55``."""

ARMATURE_OPTION = {
    '--armature': dict(
        choices=sorted(ARMATURES),
        default='smplx',
        help='whose names bones have; smplx by default',
    )
}


def bone_names(armature: str) -> Sequence[str]:
    """Names of the 55 bones, in the order of ``smplx_55``.

    Args:
        armature: A key of :data:`ARMATURES`.

    Raises:
        ValueError: If it is unknown.
    """
    if armature not in ARMATURES:
        raise ValueError(
            f'armature must be one of {tuple(ARMATURES)}, got {armature!r}'
        )
    return [ARMATURES[armature][name] for name in JOINT_NAMES]
