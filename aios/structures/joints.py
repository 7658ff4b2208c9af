# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Joint conventions as data: names, groups, flip pairs, links, conversion.

A :class:`JointSet` describes a convention.  The rest of the project looks
joint indices up by name, and mappings between conventions are derived from
the names.

========================  ===  ==========================================
name                       J   content
========================  ===  ==========================================
``smplx_144``             144  all joints the SMPL-X layer returns
``smplx_127``             127  the same without the face contour (AGORA)
``smplx_55``               55  the kinematic skeleton
``smplx_137``             137  the working set of AiOS
``smplx_rotations_53``     53  joints with predicted rotations (no eyes)
``human_data``            190  mmhuman3d's HumanData
``coco``                   17  COCO keypoints
``coco_wholebody``        133  COCO-WholeBody
``mhr_70``                 70  keypoints of SAM 3D Body
``left_hand_6`` etc.        6  keypoint tokens of hands and face
========================  ===  ==========================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from . import joint_names as names
from .skeleton import links_of

if TYPE_CHECKING:
    import torch

ArrayT = TypeVar('ArrayT', np.ndarray, 'torch.Tensor')

# First part of the names of face joints, after "left_" or "right_".
_FACE_STEMS = ('eyebrow', 'nosebridge', 'nose', 'eye', 'mouth', 'lip')
_FACE_NAMES = ('jaw', 'head', 'contour_middle', 'jaw_extra', 'head_extra')
_EQUIVALENT_NAMES = (
    ('head_extra', 'head_h36m'),
    ('headtop', 'headtop_h36m'),
    ('left_hand', 'left_hand_3dhp'),
    ('right_hand', 'right_hand_3dhp'),
)
_SIDES = ('left', 'right')
_GROUPS = ('body', 'left_hand', 'right_hand', 'face')


def _mirror_name(name: str) -> str:
    for side, other in (_SIDES, _SIDES[::-1]):
        if name.startswith(f'{side}_'):
            return other + name[len(side) :]
    return name


def _flip_pairs(joint_names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Pairs ``(left, right)`` by occurrence, ordered by the smaller index."""
    seen: dict[str, int] = {}
    indices: dict[tuple[str, int], int] = {}
    for i, name in enumerate(joint_names):
        indices[name, seen.get(name, 0)] = i
        seen[name] = seen.get(name, 0) + 1
    pairs = set()
    for (name, nth), i in indices.items():
        j = indices.get((_mirror_name(name), nth), i)
        if i < j:
            pairs.add((i, j))
    return tuple(sorted(pairs))


def _is_finger(name: str, side: str) -> bool:
    stem = name.removeprefix(f'{side}_')
    return name.startswith(f'{side}_') and (
        stem.split('_')[0] in names.FINGERS or stem == 'hand_root'
    )


def _is_face(name: str) -> bool:
    if name in _FACE_NAMES or name.endswith('_openpose'):
        return name in _FACE_NAMES
    stem = _mirror_name(name).removeprefix('left_').removeprefix('right_')
    first, _, rest = stem.partition('_')
    return (first in _FACE_STEMS and bool(rest)) or first == 'contour'


def _groups_by_name(joint_names: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Every joint belongs to exactly one of body, hands and face."""
    groups: dict[str, list[int]] = {part: [] for part in _GROUPS}
    for i, name in enumerate(joint_names):
        if _is_finger(name, 'left'):
            groups['left_hand'].append(i)
        elif _is_finger(name, 'right'):
            groups['right_hand'].append(i)
        elif _is_face(name):
            groups['face'].append(i)
        else:
            groups['body'].append(i)
    return {part: tuple(indices) for part, indices in groups.items()}


@dataclass(frozen=True, eq=False)
class JointSet:
    """One joint convention.

    Symbols: ``J`` is the number of joints of the set.

    Args:
        name: Key of the set in :data:`JOINT_SETS`.
        names: ``J`` joint names.  A name may occur twice; look-ups return
            the first occurrence.
        groups: Part name (``body``, ``left_hand``, ``right_hand``, ``face``)
            to joint indices.
    """

    name: str
    names: tuple[str, ...]
    groups: Mapping[str, tuple[int, ...]] = field(repr=False)

    @classmethod
    def from_names(
        cls,
        name: str,
        joint_names: Sequence[str],
        groups: Mapping[str, Sequence[int]] | None = None,
    ) -> JointSet:
        """Build a set; groups are derived from the names unless given."""
        if groups is None:
            groups = _groups_by_name(joint_names)
        frozen = {part: tuple(indices) for part, indices in groups.items()}
        return cls(name, tuple(joint_names), MappingProxyType(frozen))

    def __len__(self) -> int:
        return len(self.names)

    def __reduce__(self) -> tuple:
        """Pickle by name, so that processes share one definition."""
        return get_joint_set, (self.name,)

    @cached_property
    def flip_pairs(self) -> tuple[tuple[int, int], ...]:
        """Index pairs that swap when the image is mirrored."""
        return _flip_pairs(self.names)

    @cached_property
    def flip_permutation(self) -> np.ndarray:
        """``(J,)`` int64: ``x[..., flip_permutation, :]`` swaps sides."""
        permutation = np.arange(len(self))
        for i, j in self.flip_pairs:
            permutation[[i, j]] = j, i
        permutation.setflags(write=False)
        return permutation

    @cached_property
    def links(self) -> tuple[tuple[int, int], ...]:
        """Index pairs to draw as bones."""
        return links_of(self.names)

    def index(self, name: str) -> int:
        """Index of the first joint called ``name``.

        Raises:
            KeyError: If the set has no such joint.
        """
        try:
            return self.names.index(name)
        except ValueError:
            raise KeyError(
                f'joint set {self.name!r} has no joint {name!r}'
            ) from None

    def indices(self, joint_names: Sequence[str]) -> tuple[int, ...]:
        """Indices of several joints, see :meth:`index`."""
        return tuple(self.index(name) for name in joint_names)

    def subset(self, group: str) -> tuple[str, ...]:
        """Names of the joints of a group."""
        return tuple(self.names[i] for i in self.groups[group])


SMPLX_144 = JointSet.from_names('smplx_144', names.SMPLX_144_NAMES)
SMPLX_127 = JointSet.from_names('smplx_127', names.SMPLX_144_NAMES[:127])
SMPLX_55 = JointSet.from_names('smplx_55', names.SMPLX_55_NAMES)
SMPL_22 = JointSet.from_names('smpl_22', names.SMPLX_55_NAMES[:22])
SMPLX_137 = JointSet.from_names(
    'smplx_137',
    names.SMPLX_137_NAMES,
    # Derived groups would not be contiguous; the face losses of AiOS use one
    # range that includes both copies of the eyes.
    groups={
        'body': range(25),
        'left_hand': range(25, 45),
        'right_hand': range(45, 65),
        'face': range(65, 137),
    },
)
PELVIS = SMPLX_144.index('pelvis')
"""The root, first joint of all sets of SMPL and SMPL-X."""
SMPLX_ROTATIONS_53 = JointSet.from_names(
    'smplx_rotations_53',
    names.SMPLX_ROTATION_53_NAMES,
    groups={
        'body': range(22),
        'left_hand': range(22, 37),
        'right_hand': range(37, 52),
        'face': (52,),
    },
)
HUMAN_DATA_190 = JointSet.from_names('human_data', names.HUMAN_DATA_190_NAMES)
COCO_17 = JointSet.from_names('coco', names.COCO_17_NAMES)
COCO_WHOLEBODY_133 = JointSet.from_names(
    'coco_wholebody', names.COCO_WHOLEBODY_133_NAMES
)
MHR_70 = JointSet.from_names('mhr_70', names.MHR_70_NAMES)


def _part_set(name: str, joint_names: Sequence[str], part: str) -> JointSet:
    """A set whose joints, wrist and nose included, belong to one part."""
    groups = {group: range(0) for group in _GROUPS}
    groups[part] = range(len(joint_names))
    return JointSet.from_names(name, joint_names, groups)


LEFT_HAND_6, RIGHT_HAND_6 = (
    _part_set(f'{side}_hand_6', names.hand_6_names(side), f'{side}_hand')
    for side in _SIDES
)
FACE_6 = _part_set('face_6', names.FACE_6_NAMES, 'face')

JOINT_SETS: Mapping[str, JointSet] = MappingProxyType(
    {
        joint_set.name: joint_set
        for joint_set in (
            *(SMPLX_144, SMPLX_127, SMPLX_55, SMPLX_137, SMPLX_ROTATIONS_53),
            *(SMPL_22, HUMAN_DATA_190, COCO_17, COCO_WHOLEBODY_133, MHR_70),
            *(LEFT_HAND_6, RIGHT_HAND_6, FACE_6),
        )
    }
)


def get_joint_set(joint_set: str | JointSet) -> JointSet:
    """Look a joint set up by name; a :class:`JointSet` passes through.

    Raises:
        KeyError: If the name is unknown; the message lists the known names.
    """
    if isinstance(joint_set, JointSet):
        return joint_set
    try:
        return JOINT_SETS[joint_set]
    except KeyError:
        known = ', '.join(JOINT_SETS)
        raise KeyError(
            f'unknown joint set {joint_set!r}; known are: {known}'
        ) from None


def _approximate_names(name: str) -> tuple[str, ...]:
    """Names of joints at nearly the same place, best first."""
    for pair in _EQUIVALENT_NAMES:
        if name in pair:
            return tuple(other for other in pair if other != name)
    base = name.removesuffix('_openpose').removesuffix('_extra')
    variants = (base, f'{base}_extra', f'{base}_openpose')
    return tuple(v for v in variants if v != name)


@cache
def _joint_mapping(
    src: str, dst: str, approximate: bool, available: tuple[bool, ...] | None
) -> np.ndarray:
    first = {
        name: i
        for i, name in reversed(list(enumerate(JOINT_SETS[src].names)))
        if available is None or available[i]
    }
    mapping = np.full(len(JOINT_SETS[dst]), -1, np.int64)
    for j, name in enumerate(JOINT_SETS[dst].names):
        candidates = [name]
        if approximate:
            candidates += _approximate_names(name)
        mapping[j] = next((first[c] for c in candidates if c in first), -1)
    mapping.setflags(write=False)
    return mapping


def joint_mapping(
    src: str | JointSet,
    dst: str | JointSet,
    approximate: bool = False,
    available: np.ndarray | None = None,
) -> np.ndarray:
    """Index in ``src`` of each joint of ``dst``.

    Args:
        src: Source convention.
        dst: Target convention.
        approximate: Also accept joints at nearly the same place under
            another name (``left_hip`` for COCO's ``left_hip_extra``), as
            mmhuman3d's approximate mapping does.
        available: ``(len(src),)`` bool, joints of the source that exist;
            default all.

    Returns:
        ``(len(dst),)`` int64 indices into ``src``, -1 where it has no such
        joint.  The array is read-only.
    """
    return _joint_mapping(
        get_joint_set(src).name,
        get_joint_set(dst).name,
        approximate,
        None if available is None else tuple(map(bool, available)),
    )


def convert_joints(
    joints: ArrayT,
    src: str | JointSet,
    dst: str | JointSet,
    approximate: bool = False,
) -> tuple[ArrayT, np.ndarray]:
    """Reorder joints from one convention to another.

    Args:
        joints: ``(..., J_src, C)`` coordinates or labels.
        src: Convention of ``joints``.
        dst: Target convention.
        approximate: See :func:`joint_mapping`.

    Returns:
        ``(..., J_dst, C)`` array or tensor of the same type and dtype, zeros
        where ``src`` has no such joint; and the ``(J_dst,)`` uint8 mask that
        is 1 where it has.

    Raises:
        ValueError: If ``joints`` does not have ``J_src`` joints.
    """
    source = get_joint_set(src)
    if joints.ndim < 2 or joints.shape[-2] != len(source):
        raise ValueError(
            f'joints of set {source.name!r} must have shape '
            f'(..., {len(source)}, C), got {tuple(joints.shape)}'
        )
    mapping = joint_mapping(src, dst, approximate)
    mask = mapping >= 0
    if isinstance(joints, np.ndarray):
        out = np.take(joints, np.maximum(mapping, 0), axis=-2)
        out[..., ~mask, :] = 0
    else:
        import torch

        index = torch.from_numpy(np.maximum(mapping, 0)).to(joints.device)
        keep = torch.from_numpy(mask).to(joints.device)[:, None]
        out = joints.index_select(-2, index).masked_fill(~keep, 0)
    return out, mask.astype(np.uint8)
