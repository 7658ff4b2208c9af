# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""The interface of the SMPL-X file format: sizes, tree, fixed vertex ids."""

from __future__ import annotations

import numpy as np

from aios.structures import SMPLX_55

NUM_VERTICES, NUM_FACES, NUM_JOINTS = 10475, 20908, 55
NUM_HAND_VERTICES = 778  # each hand
NUM_HEAD_VERTICES = 5023  # head and neck, with both eyeballs
EYE_VERTICES = {'left': slice(9383, 9929), 'right': slice(9929, 10475)}
NUM_SKIN_VERTICES = 9383

FINGERS = ('index', 'middle', 'pinky', 'ring', 'thumb')  # file order
MIRROR_X = np.array([-1.0, 1.0, 1.0])


def _parents() -> tuple[int, ...]:
    body = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9]
    body += [12, 13, 14, 16, 17, 18, 19, 15, 15, 15]
    fingers = []
    for wrist, first in ((20, 25), (21, 40)):
        for root in range(first, first + 15, 3):
            fingers += [wrist, root, root + 1]
    return tuple(body + fingers)


PARENTS = _parents()
MIRRORED_JOINTS = SMPLX_55.flip_permutation

# Vertex ids that loaders and training code hard-code.
KEY_VERTICES = {
    'nose': 9120,
    'right_eye': 9929,
    'left_eye': 9448,
    'right_ear': 616,
    'left_ear': 6,
    'right_thumb': 8079,
    'right_index': 7669,
    'right_middle': 7794,
    'right_ring': 7905,
    'right_pinky': 8022,
    'left_thumb': 5361,
    'left_index': 4933,
    'left_middle': 5058,
    'left_ring': 5169,
    'left_pinky': 5286,
    'left_big_toe': 5770,
    'left_small_toe': 5780,
    'left_heel': 8846,
    'right_big_toe': 8463,
    'right_small_toe': 8474,
    'right_heel': 8635,
}


def joint(name: str) -> int:
    """Index of a joint by its name, e.g. ``'left_elbow'``."""
    return SMPLX_55.index(name)


def is_left(index: int) -> bool:
    """Tell whether a joint is on the left."""
    return SMPLX_55.names[index].startswith('left_')


def is_right(index: int) -> bool:
    """Tell whether a joint is on the right."""
    return SMPLX_55.names[index].startswith('right_')
