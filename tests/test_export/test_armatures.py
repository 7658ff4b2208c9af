# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Bones named as other programs name them."""

from __future__ import annotations

import re

import pygltflib
import pytest

from aios.export import ARMATURES, EXPORTERS, write_bvh, write_glb
from aios.structures import get_joint_set

# Parents in VRM 1.0, from the tables of its specification.
VRM_PARENTS = {
    'spine': 'hips',
    'chest': 'spine',
    'upperChest': 'chest',
    'neck': 'upperChest',
    'head': 'neck',
    'jaw': 'head',
} | {
    side + child: parent if parent in ('hips', 'upperChest', 'head')
    else side + parent
    for side in ('left', 'right')
    for child, parent in {
        'Eye': 'head',
        'UpperLeg': 'hips',
        'LowerLeg': 'UpperLeg',
        'Foot': 'LowerLeg',
        'Toes': 'Foot',
        'Shoulder': 'upperChest',
        'UpperArm': 'Shoulder',
        'LowerArm': 'UpperArm',
        'Hand': 'LowerArm',
        'ThumbMetacarpal': 'Hand',
        'ThumbProximal': 'ThumbMetacarpal',
        'ThumbDistal': 'ThumbProximal',
        'IndexProximal': 'Hand',
        'IndexIntermediate': 'IndexProximal',
        'IndexDistal': 'IndexIntermediate',
        'MiddleProximal': 'Hand',
        'MiddleIntermediate': 'MiddleProximal',
        'MiddleDistal': 'MiddleIntermediate',
        'RingProximal': 'Hand',
        'RingIntermediate': 'RingProximal',
        'RingDistal': 'RingIntermediate',
        'LittleProximal': 'Hand',
        'LittleIntermediate': 'LittleProximal',
        'LittleDistal': 'LittleIntermediate',
    }.items()
}  # fmt: skip
SAMPLES = {
    'mixamo': {
        'left_shoulder': 'mixamorig:LeftArm',
        'right_knee': 'mixamorig:RightLeg',
        'spine_3': 'mixamorig:Spine2',
        'left_pinky_2': 'mixamorig:LeftHandPinky2',
    },
    'unreal': {
        'left_collar': 'clavicle_l',
        'right_foot': 'ball_r',
        'spine_1': 'spine_01',
        'right_thumb_3': 'thumb_03_r',
    },
    'vrm': {'left_wrist': 'leftHand', 'right_pinky_1': 'rightLittleProximal'},
}


@pytest.mark.parametrize('armature', ARMATURES)
def test_names_are_complete_and_unique(armature: str) -> None:
    names = ARMATURES[armature]
    assert set(names) == set(get_joint_set('smplx_55').names)
    assert len(set(names.values())) == 55
    assert names.items() >= SAMPLES.get(armature, {}).items()


def hierarchy(path) -> dict[str, str]:
    """Parent of each bone of person 3."""
    gltf = pygltflib.GLTF2().load_binary(str(path))
    (skin,) = (s for s in gltf.skins if s.name == 'person_3')
    bones = set(skin.joints)
    return {
        gltf.nodes[child].name: gltf.nodes[node].name
        for node in bones
        for child in gltf.nodes[node].children or ()
        if child in bones
    }


def test_glb(dancers, layer, tmp_path) -> None:
    path = tmp_path / 'persons.glb'
    few = dancers.select_frames(slice(2))
    write_glb(few, layer, path, armature='vrm', correctives='none')
    assert hierarchy(path) == VRM_PARENTS


def test_bvh(dancers, layer, tmp_path) -> None:
    """Only the names differ."""
    texts = {}
    for armature in ARMATURES:
        path = tmp_path / f'{armature}.bvh'
        write_bvh(dancers, layer, path, 3, armature=armature)
        texts[armature] = path.read_text()
    joint = re.compile(r'(?:ROOT|JOINT) (\S+)')
    ours = joint.findall(texts['smplx'])
    for armature, text in texts.items():
        names = [ARMATURES[armature][name] for name in ours]
        assert joint.findall(text) == names
        assert joint.sub('', text) == joint.sub('', texts['smplx'])


@pytest.mark.parametrize('name', ['glb', 'bvh'])
def test_unknown_armatures(name, dancers, layer, tmp_path) -> None:
    with pytest.raises(ValueError, match="armature must be one of .*'rigify'"):
        EXPORTERS[name].export(
            dancers, layer, tmp_path / 'x{person}', armature='rigify'
        )
    assert not list(tmp_path.iterdir())
