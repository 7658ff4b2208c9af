# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from aios.structures import (
    HUMAN_DATA_190,
    JOINT_SETS,
    SMPLX_137,
    SMPLX_144,
    SMPLX_ROTATIONS_53,
    JointSet,
    convert_joints,
    get_joint_set,
    joint_mapping,
)

ORACLE = json.loads(
    (
        Path(__file__).parents[1] / 'data/oracle/comp_conventions.json'
    ).read_text()
)
SIZES = {
    'smplx_144': 144,
    'smplx_127': 127,
    'smplx_55': 55,
    'smpl_22': 22,
    'smplx_137': 137,
    'smplx_rotations_53': 53,
    'human_data': 190,
    'coco': 17,
    'coco_wholebody': 133,
    'mhr_70': 70,
    'left_hand_6': 6,
    'right_hand_6': 6,
    'face_6': 6,
}


def test_sizes() -> None:
    assert {name: len(s) for name, s in JOINT_SETS.items()} == SIZES
    page = Path(__file__).parents[2] / 'docs/en/conventions.md'
    text = page.read_text(encoding='utf-8')
    assert [name for name in SIZES if f'`{name}`' not in text] == []


@pytest.mark.parametrize(
    ('ours', 'theirs'),
    [
        ('smplx_144', 'smplx'),
        ('smplx_137', 'smplx_137'),
        ('coco', 'coco'),
        ('left_hand_6', 'smplx_lhand'),
        ('right_hand_6', 'smplx_rhand'),
        ('face_6', 'smplx_face'),
    ],
)
def test_names_equal_the_published_ones(ours: str, theirs: str) -> None:
    expected = ORACLE['conventions'][theirs]
    assert list(JOINT_SETS[ours].names) == expected[: SIZES[ours]]


@pytest.mark.parametrize(
    ('key', 'src', 'dst'),
    [
        ('smplx_137->coco approx', 'smplx_137', 'coco'),
        ('smplx_137->smplx_lhand approx', 'smplx_137', 'left_hand_6'),
        ('smplx_137->smplx_rhand approx', 'smplx_137', 'right_hand_6'),
        ('smplx_137->smplx_face approx', 'smplx_137', 'face_6'),
        ('smplx->smplx_137', 'smplx_144', 'smplx_137'),
        ('smplx->coco approx', 'smplx_144', 'coco'),
    ],
)
def test_mapping_equals_the_published_one(
    key: str, src: str, dst: str
) -> None:
    expected = ORACLE['mappings'][key]
    mapping = joint_mapping(src, dst, approximate='approx' in key)
    assert expected['dst'] == list(range(len(mapping)))
    np.testing.assert_array_equal(mapping, expected['src'])


def test_137_parts_and_roots_equal_the_published_ones() -> None:
    for group, part in (
        ('body', 'body'),
        ('left_hand', 'lhand'),
        ('right_hand', 'rhand'),
        ('face', 'face'),
    ):
        first, last = ORACLE['joint_part'][part]
        assert SMPLX_137.groups[group] == tuple(range(first, last))
    assert SMPLX_137.index('neck') == ORACLE['neck_idx']
    assert SMPLX_137.index('left_wrist') == ORACLE['lwrist_idx']
    assert SMPLX_137.index('right_wrist') == ORACLE['rwrist_idx']


def test_137_flip_pairs_equal_the_published_ones() -> None:
    expected = {tuple(sorted(pair)) for pair in ORACLE['flip_pairs']}
    assert set(SMPLX_137.flip_pairs) == expected


def test_rotation_flip_pairs_follow_the_skeleton() -> None:
    expected = [(1, 2), (4, 5), (7, 8), (10, 11), (13, 14)]
    expected += [(16, 17), (18, 19), (20, 21)]
    expected += [(22 + i, 37 + i) for i in range(15)]
    assert list(SMPLX_ROTATIONS_53.flip_pairs) == expected


def test_human_data_to_137_keeps_the_eye_vertices() -> None:
    """The dataset side of the original swaps columns 67 and 68."""
    mapping = joint_mapping('human_data', 'smplx_137')
    assert [HUMAN_DATA_190.names[i] for i in mapping[[22, 23, 67, 68]]] == [
        'left_eye',
        'right_eye',
        'left_eye',
        'right_eye',
    ]
    assert mapping[65:67].tolist() == [22, 15]
    np.testing.assert_array_equal(mapping[69:], np.arange(76, 144))


def test_wholebody_maps_like_the_published_table() -> None:
    mapping = joint_mapping('smplx_137', 'coco_wholebody', approximate=True)
    expected = [24, 22, 23, 20, 21, 8, 9, 10, 11, 12, 13, 1, 2, 3, 4, 5, 6]
    expected += [*range(14, 20), *range(120, 137), *range(69, 120)]
    expected += [-1, *range(25, 45), -1, *range(45, 65)]
    assert mapping.tolist() == expected


@pytest.mark.parametrize('joint_set', JOINT_SETS.values(), ids=JOINT_SETS)
def test_sides_and_groups(joint_set: JointSet) -> None:
    """Left and right swap, and each joint is of one group."""
    flip = joint_set.flip_permutation
    np.testing.assert_array_equal(flip[flip], np.arange(len(joint_set)))
    for i, j in joint_set.flip_pairs:
        one, other = joint_set.names[i], joint_set.names[j]
        assert one != other
        assert one.replace('left', 'right') == other.replace('left', 'right')
    members = [i for group in joint_set.groups.values() for i in group]
    assert sorted(members) == list(range(len(joint_set)))


@pytest.mark.parametrize('name', ['smplx_144', 'smplx_137', 'coco_wholebody'])
def test_links_mirror_onto_links(name: str) -> None:
    joint_set = JOINT_SETS[name]
    links = {frozenset(link) for link in joint_set.links}
    flip = joint_set.flip_permutation
    # Only compare by name: the eyes stand twice in the 137 set.
    by_name = {frozenset(joint_set.names[i] for i in link) for link in links}
    mirrored = {
        frozenset(joint_set.names[flip[i]] for i in link) for link in links
    }
    assert by_name == mirrored


def test_skeleton_of_the_body_is_connected() -> None:
    """From the pelvis one reaches every limb, finger and facial feature."""
    reached, frontier = {0}, [0]
    neighbors: dict[int, list[int]] = {}
    for a, b in SMPLX_144.links:
        neighbors.setdefault(a, []).append(b)
        neighbors.setdefault(b, []).append(a)
    while frontier:
        for j in neighbors.get(frontier.pop(), ()):
            if j not in reached:
                reached.add(j)
                frontier.append(j)
    names = {SMPLX_144.names[i] for i in reached}
    assert {'left_bigtoe', 'right_pinky', 'head', 'left_thumb'} <= names


@pytest.mark.parametrize('kind', [np.asarray, torch.as_tensor])
def test_convert_fills_missing_joints_with_zero(kind) -> None:
    joints = kind(np.arange(2 * 17 * 3, dtype=np.float32).reshape(2, 17, 3))
    out, mask = convert_joints(joints, 'coco', 'human_data')
    assert type(out) is type(joints)
    assert out.shape == (2, 190, 3)
    assert mask.sum() == 17
    assert (np.asarray(out)[:, mask == 0] == 0).all()
    back, _ = convert_joints(out, 'human_data', 'coco')
    np.testing.assert_array_equal(np.asarray(back), np.asarray(joints))


def test_clicked_hips_keep_their_own_place_unless_approximate() -> None:
    coco = JOINT_SETS['coco']
    exact = joint_mapping('coco', 'human_data')
    approximate = joint_mapping('coco', 'human_data', approximate=True)
    hip, extra = HUMAN_DATA_190.indices(['left_hip', 'left_hip_extra'])
    assert exact[hip] == -1
    assert coco.names[exact[extra]] == 'left_hip_extra'
    assert coco.names[approximate[hip]] == 'left_hip_extra'


def test_conversion_refuses_another_number_of_joints() -> None:
    with pytest.raises(ValueError, match=r"'coco'.*\(\.\.\., 17, C\)"):
        convert_joints(np.zeros((2, 18, 3)), 'coco', 'smplx_137')


def test_unknown_set_lists_the_known_ones() -> None:
    with pytest.raises(KeyError, match=r"'h36m'.*smplx_137"):
        get_joint_set('h36m')
    with pytest.raises(KeyError, match="no joint 'tail'"):
        SMPLX_137.index('tail')


def test_sets_pickle_to_the_same_object() -> None:
    assert pickle.loads(pickle.dumps(SMPLX_137)) is SMPLX_137
