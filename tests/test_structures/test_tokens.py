# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
import copy

import numpy as np
import pytest

from aios.structures import (
    BODY_LOCALIZATION,
    BODY_REFINEMENT,
    WHOLE_BODY,
    PartTokens,
    TokenLayout,
)

STAGES = (BODY_LOCALIZATION, BODY_REFINEMENT, WHOLE_BODY)


def test_the_tree_grows_from_1_to_21_to_39_tokens() -> None:
    assert [len(stage) for stage in STAGES] == [1, 21, 39]


def test_box_tokens_stand_where_the_published_network_has_them() -> None:
    assert np.flatnonzero(BODY_REFINEMENT.is_box).tolist() == [0, 18, 19, 20]
    assert np.flatnonzero(WHOLE_BODY.is_box).tolist() == [0, 18, 25, 32]


@pytest.mark.parametrize(
    ('parts', 'expected'),
    [
        (('body_box', 'left_hand_box', 'left_hand_keypoints'), 8),
        (('face_keypoints', 'face_box', 'body_box'), 8),
    ],
)
def test_indices_are_ascending(parts, expected: int) -> None:
    indices = WHOLE_BODY.indices(*parts)
    assert len(indices) == expected
    assert (np.diff(indices) > 0).all()


def test_hand_features_of_the_published_heads() -> None:
    left = WHOLE_BODY.indices(
        'body_box', 'left_hand_box', 'left_hand_keypoints', 'right_hand_box'
    )
    assert left.tolist() == [0, 18, *range(19, 25), 25]
    right = WHOLE_BODY.indices(
        'body_box', 'left_hand_box', 'right_hand_box', 'right_hand_keypoints'
    )
    assert right.tolist() == [0, 18, 25, *range(26, 32)]


def test_tokens_are_carried_by_name() -> None:
    places = [WHOLE_BODY.names.index(x) for x in BODY_REFINEMENT.names]
    assert places == [*range(18), 18, 25, 32]
    new = WHOLE_BODY.new_parts(BODY_REFINEMENT)
    assert [part.name for part in new] == [
        'left_hand_keypoints',
        'right_hand_keypoints',
        'face_keypoints',
    ]


def test_parents_are_box_tokens_before_their_children() -> None:
    for stage in STAGES:
        children = np.flatnonzero(stage.parents >= 0)
        assert stage.is_box[stage.parents[children]].all()
        assert (stage.parents[children] < children).all()


@pytest.mark.parametrize('stage', STAGES, ids=lambda s: s.name)
def test_attention_equals_a_loop(stage: TokenLayout) -> None:
    allowed = stage.attention_allowed(3)
    tokens = len(stage)
    for i in range(3 * tokens):
        for j in range(3 * tokens):
            boxes = stage.is_box[i % tokens] and stage.is_box[j % tokens]
            assert allowed[i, j] == (i // tokens == j // tokens or boxes)


def test_attention_of_no_person_is_empty() -> None:
    assert WHOLE_BODY.attention_allowed(0).shape == (0, 0)


def test_layouts_refuse_orphans_and_twins() -> None:
    box = PartTokens('box')
    with pytest.raises(ValueError, match='duplicate part'):
        TokenLayout('bad', (box, box))
    with pytest.raises(ValueError, match="parent 'arm'"):
        TokenLayout('bad', (box, PartTokens('hand', ('thumb',), 'arm')))
    with pytest.raises(KeyError, match="no part 'tail'"):
        WHOLE_BODY.part('tail')


def test_a_used_layout_can_be_copied() -> None:
    """MMEngine's EMAHook copies the whole model."""
    assert len(WHOLE_BODY.slices) == 8
    assert copy.deepcopy(WHOLE_BODY) == WHOLE_BODY
