# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Bone names of other programs.

Only names change; bones keep the hierarchy and rest pose of SMPL-X.  Sources
of the names:

* ``vrm``: the humanoid bones of VRM 1.0, which are Unity's except for thumbs
  (https://github.com/vrm-c/vrm-specification, ``humanoid.md``).
* ``mixamo``: the skeletons of https://www.mixamo.com.  They have no jaw.
* ``unreal``: the mannequin of Unreal Engine 4.  It has no eyes and no jaw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from aios.utils.choices import check_choice

from .rig import JOINT_NAMES

_TRUNK = ('pelvis', 'spine_1', 'spine_2', 'spine_3', 'neck', 'head', 'jaw')
_LIMBS = (
    *('hip', 'knee', 'ankle', 'foot'),
    *('collar', 'shoulder', 'elbow', 'wrist', 'eyeball'),
)
_FINGERS = ('thumb', 'index', 'middle', 'ring', 'pinky')


def _names(
    trunk: Sequence[str],
    limbs: Sequence[str],
    of_limb: Callable[[str, str], str],
    of_finger: Callable[[str, str, int], str],
) -> dict[str, str]:
    """Names by joint of ``smplx_55``.

    Args:
        trunk: Names of :data:`_TRUNK`.
        limbs: Names of :data:`_LIMBS`, without side.
        of_limb: Makes a name of side and limb.
        of_finger: Makes a name of side, finger and number.
    """
    names = dict(zip(_TRUNK, trunk, strict=True))
    for side in ('left', 'right'):
        for ours, theirs in zip(_LIMBS, limbs, strict=True):
            names[f'{side}_{ours}'] = of_limb(side, theirs)
        for finger in _FINGERS:
            for number in (1, 2, 3):
                name = of_finger(side, finger, number)
                names[f'{side}_{finger}_{number}'] = name
    return names


def _mixamo() -> dict[str, str]:
    names = _names(
        ('Hips', 'Spine', 'Spine1', 'Spine2', 'Neck', 'Head', 'Jaw'),
        (
            *('UpLeg', 'Leg', 'Foot', 'ToeBase'),
            *('Shoulder', 'Arm', 'ForeArm', 'Hand', 'Eye'),
        ),
        lambda side, limb: f'{side.capitalize()}{limb}',
        lambda side, finger, number: (
            f'{side.capitalize()}Hand{finger.capitalize()}{number}'
        ),
    )
    return {ours: f'mixamorig:{theirs}' for ours, theirs in names.items()}


def _unreal() -> dict[str, str]:
    return _names(
        (
            *('pelvis', 'spine_01', 'spine_02', 'spine_03'),
            *('neck_01', 'head', 'jaw'),
        ),
        (
            *('thigh', 'calf', 'foot', 'ball'),
            *('clavicle', 'upperarm', 'lowerarm', 'hand', 'eye'),
        ),
        lambda side, limb: f'{limb}_{side[0]}',
        lambda side, finger, number: f'{finger}_0{number}_{side[0]}',
    )


def _vrm() -> dict[str, str]:
    return _names(
        ('hips', 'spine', 'chest', 'upperChest', 'neck', 'head', 'jaw'),
        (
            *('UpperLeg', 'LowerLeg', 'Foot', 'Toes'),
            *('Shoulder', 'UpperArm', 'LowerArm', 'Hand', 'Eye'),
        ),
        lambda side, limb: f'{side}{limb}',
        _vrm_finger,
    )


def _vrm_finger(side: str, finger: str, number: int) -> str:
    parts = ('Proximal', 'Intermediate', 'Distal')
    if finger == 'thumb':
        parts = ('Metacarpal', 'Proximal', 'Distal')
    name = 'Little' if finger == 'pinky' else finger.capitalize()
    return f'{side}{name}{parts[number - 1]}'


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
        help='naming scheme of the bones (default: smplx)',
    )
}


def bone_names(armature: str) -> Sequence[str]:
    """Names of the 55 bones, in the order of ``smplx_55``.

    Args:
        armature: A key of :data:`ARMATURES`.

    Raises:
        ValueError: If it is unknown.
    """
    check_choice('armature', armature, ARMATURES)
    return [ARMATURES[armature][name] for name in JOINT_NAMES]
