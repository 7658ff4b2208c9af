# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Links of drawn skeletons, by joint name.

A joint set has the links of which it has both ends.  Some links replace
missing joints: a set without a neck connects the shoulders.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from . import joint_names as names

_SIDE_LIMBS = (
    ('hip', 'knee'),
    ('knee', 'ankle'),
    ('ankle', 'foot'),
    ('ankle', 'heel'),
    ('ankle', 'bigtoe'),
    ('bigtoe', 'smalltoe'),
    ('collar', 'shoulder'),
    ('shoulder', 'elbow'),
    ('elbow', 'wrist'),
    ('eye', 'ear'),
)
_TRUNK_CHAINS = (
    ('pelvis', 'spine_1', 'spine_2', 'spine_3', 'neck', 'head'),
    *((f'{s}_hip', 'pelvis') for s in ('left', 'right')),
    *((f'{s}_collar', 'spine_3') for s in ('left', 'right')),
    *((f'{s}_eye', 'nose') for s in ('left', 'right')),
)
# (link, joint that must be absent)
_FALLBACK_LINKS = (
    (('left_shoulder', 'right_shoulder'), 'neck'),
    (('left_hip', 'right_hip'), 'pelvis'),
    *(((f'{s}_shoulder', f'{s}_hip'), 'pelvis') for s in ('left', 'right')),
    *(((f'{s}_shoulder', 'neck'), f'{s}_collar') for s in ('left', 'right')),
    (('pelvis', 'neck'), 'spine_1'),
)


def _face_chains() -> Iterator[tuple[str, ...]]:
    for side in ('left', 'right'):
        yield tuple(f'{side}_eyebrow_{i}' for i in range(1, 6))
        eye = tuple(f'{side}_eye_{i}' for i in range(1, 7))
        yield (*eye, eye[0])
    for lips in (names.OUTER_MOUTH_12, names.INNER_MOUTH_8):
        yield (*lips, lips[0])
    yield from (names.NOSE_BRIDGE_4, names.NOSE_5, names.CONTOUR_17)


def _hand_chains() -> Iterator[tuple[str, ...]]:
    for side in ('left', 'right'):
        for finger in names.FINGERS:
            stem = f'{side}_{finger}'
            yield (f'{side}_wrist', *(f'{stem}_{i}' for i in (1, 2, 3)), stem)


def _named_links(present: set[str]) -> Iterator[tuple[str, str]]:
    for chain in (*_TRUNK_CHAINS, *_hand_chains()):
        # Missing joints are bridged, such as knuckles by wrist -> tip.
        yield from itertools.pairwise(x for x in chain if x in present)
    for side in ('left', 'right'):
        for a, b in _SIDE_LIMBS:
            yield f'{side}_{a}', f'{side}_{b}'
    for link, replaced in _FALLBACK_LINKS:
        if replaced not in present:
            yield link
    for chain in _face_chains():
        yield from itertools.pairwise(chain)


def links_of(joint_names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Bones between the joints of a set.

    Args:
        joint_names: Names in order; of equal names the first is linked.

    Returns:
        Unique index pairs, sorted.
    """
    first = {name: i for i, name in reversed(list(enumerate(joint_names)))}
    for side in ('left', 'right'):  # COCO's hips have other names
        if f'{side}_hip_extra' in first:
            first.setdefault(f'{side}_hip', first[f'{side}_hip_extra'])
    links = {
        (first[a], first[b])
        for a, b in _named_links(set(first))
        if a in first and b in first
    }
    return tuple(sorted(links))
