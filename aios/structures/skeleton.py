# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Which joints to connect when a skeleton is drawn, by name.

A link is drawn by every joint set that has both its ends.  The body is a
chain with fall-backs: a set without a neck connects the shoulders.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

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
# (link, drawn only if this joint is absent)
_WITHOUT = (
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
    yield tuple(f'nosebridge_{i}' for i in range(1, 5))
    yield (
        *('right_nose_2', 'right_nose_1', 'nose_middle'),
        *('left_nose_1', 'left_nose_2'),
    )
    mouth = (
        *(f'right_mouth_{i}' for i in range(1, 4)),
        'mouth_top',
        *('left_mouth_3', 'left_mouth_2', 'left_mouth_1'),
        *('left_mouth_5', 'left_mouth_4', 'mouth_bottom'),
        *('right_mouth_4', 'right_mouth_5'),
    )
    yield (*mouth, mouth[0])
    lips = (
        *('right_lip_1', 'right_lip_2', 'lip_top', 'left_lip_2'),
        *('left_lip_1', 'left_lip_3', 'lip_bottom', 'right_lip_3'),
    )
    yield (*lips, lips[0])
    yield (
        *(f'right_contour_{i}' for i in range(1, 9)),
        'contour_middle',
        *(f'left_contour_{i}' for i in range(8, 0, -1)),
    )


def _hand_chains() -> Iterator[tuple[str, ...]]:
    for side in ('left', 'right'):
        for finger in ('thumb', 'index', 'middle', 'ring', 'pinky'):
            stem = f'{side}_{finger}'
            yield (f'{side}_wrist', *(f'{stem}_{i}' for i in (1, 2, 3)), stem)


def _named_links(present: set[str]) -> Iterator[tuple[str, str]]:
    for chain in (*_TRUNK_CHAINS, *_hand_chains()):
        # Missing joints are bridged: wrist -> tip where knuckles are absent.
        found = [name for name in chain if name in present]
        yield from itertools.pairwise(found)
    for side in ('left', 'right'):
        for a, b in _SIDE_LIMBS:
            yield f'{side}_{a}', f'{side}_{b}'
    for link, unless in _WITHOUT:
        if unless not in present:
            yield link
    for chain in _face_chains():
        yield from itertools.pairwise(chain)


def links_of(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Bones between the joints of a set.

    Args:
        names: Joint names in order; the first of equal names counts.

    Returns:
        Index pairs without repetition, sorted.
    """
    first = {name: i for i, name in reversed(list(enumerate(names)))}
    for side in ('left', 'right'):  # COCO's hips have a name of their own
        if f'{side}_hip_extra' in first:
            first.setdefault(f'{side}_hip', first[f'{side}_hip_extra'])
    links = {
        (first[a], first[b])
        for a, b in _named_links(set(first))
        if a in first and b in first
    }
    return tuple(sorted(links))
