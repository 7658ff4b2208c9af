# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Match costs and assignment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from network_oracle import Oracle
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from aios.models.task_modules import (
    BatchHungarianAssigner,
    Candidates,
    MatchCost,
    PersonTargets,
)

BOXES = [
    dict(type='ClassCost', weight=2.0),
    dict(type='PersonBoxL1Cost', weight=5.0),
    dict(type='GIoUCost', weight=2.0),
]
POINTS = [
    dict(type='ClassCost', weight=2.0),
    dict(type='KeypointL1Cost', weight=10.0),
    dict(type='OKSCost', weight=4.0),
]


def assigner() -> BatchHungarianAssigner:
    return BatchHungarianAssigner(dict(boxes=BOXES, points=POINTS))


def targets_of(
    counts: Sequence[int],
    boxes: Tensor,
    points: Tensor,
    visible: Tensor,
) -> PersonTargets:
    """Targets with nothing but what the costs want."""
    number = sum(counts)
    nothing = torch.zeros(number, 0)
    return PersonTargets(
        counts=tuple(counts),
        labels=torch.ones(number, dtype=torch.int64),
        boxes=dict(body=boxes),
        box_valid=dict(body=torch.ones(number)),
        points=dict(body=points),
        points_visible=dict(body=visible),
        image_size=nothing,
        joints2d=nothing,
        joints2d_weight=nothing,
        joints3d=nothing,
        joints3d_weight=nothing,
        rotations=nothing,
        rotations_valid=nothing,
        betas=nothing,
        betas_valid=nothing,
        expression=nothing,
        expression_valid=nothing,
    )


def random_targets(counts: Sequence[int]) -> PersonTargets:
    number = sum(counts)
    return targets_of(
        counts,
        torch.rand(number, 4) * 0.5 + 0.25,
        torch.rand(number, 17, 2),
        torch.rand(number, 17).round(),
    )


def random_candidates(num_images: int, number: int) -> Candidates:
    return Candidates(
        torch.randn(num_images, number, 2),
        torch.rand(num_images, number, 4) * 0.5 + 0.25,
        torch.rand(num_images, number, 17, 2),
    )


def naive(
    stage: str, candidates: Candidates, targets: PersonTargets
) -> tuple[list[int], list[int]]:
    """As in DETR: every candidate of the batch with every person of it."""
    num_images, number = candidates.logits.shape[:2]
    flat = Candidates(
        *(
            x.flatten(0, 1).expand(len(targets), *[-1] * (x.ndim - 1))
            for x in (candidates.logits, candidates.boxes, candidates.points)
        )
    )
    cost = assigner().cost(stage, flat, targets).T
    rows, persons = [], []
    starts = np.cumsum((0, *targets.counts))
    for image in range(num_images):
        block = cost[
            image * number : (image + 1) * number,
            starts[image] : starts[image + 1],
        ]
        row, column = linear_sum_assignment(block)
        order = column.argsort()
        rows += (row[order] + image * number).tolist()
        persons += (column[order] + starts[image]).tolist()
    return rows, persons


@pytest.mark.parametrize('mode', ['boxes', 'keypoints'])
def test_costs_are_the_original(mode, data_dir) -> None:
    oracle = Oracle(data_dir / 'oracle/comp_matcher_boxes.npz')

    def read(name: str) -> Tensor:
        return torch.from_numpy(oracle[f'matcher/{name}'])

    points = [read(f'target{i}/keypoints') for i in (0, 1)]
    counts = [len(x) for x in points]
    points = torch.cat(points)
    targets = targets_of(
        counts,
        torch.cat([read(f'target{i}/boxes') for i in (0, 1)]),
        points[:, :34].unflatten(1, (17, 2)),
        points[:, 34:],
    )
    candidates = Candidates(
        read('pred_logits'),
        read('pred_boxes'),
        read('pred_keypoints')[..., :34].unflatten(-1, (17, 2)),
    )
    stage = dict(boxes='boxes', keypoints='points')[mode]
    images = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    cost = assigner().cost(stage, candidates.of_images(images), targets)
    for image, of_image in enumerate(cost.split(counts)):
        torch.testing.assert_close(
            of_image.T, read(f'{mode}/cost{image}'), rtol=1e-6, atol=1e-6
        )
    (matches,) = assigner().assign([(stage, candidates)], targets)
    start = 0
    for image, count in enumerate(counts):
        source = oracle[f'matcher/{mode}/src{image}']
        target = oracle[f'matcher/{mode}/tgt{image}']
        ours = matches.candidates[start : start + count] - image * 12
        np.testing.assert_array_equal(ours.numpy()[target], source)
        start += count


@given(
    counts=st.lists(st.integers(0, 6), min_size=1, max_size=3),
    number=st.integers(1, 9),
    seed=st.integers(0, 100),
)
@settings(deadline=None, max_examples=30)
def test_equals_the_naive_version(counts, number, seed) -> None:
    torch.manual_seed(seed)
    targets = random_targets(counts)
    outputs = [
        (stage, random_candidates(len(counts), number))
        for stage in ('boxes', 'points', 'points')
    ]
    for (stage, candidates), matches in zip(
        outputs, assigner().assign(outputs, targets), strict=True
    ):
        rows, persons = naive(stage, candidates, targets)
        assert matches.candidates.tolist() == rows
        assert matches.persons.tolist() == persons
        assert matches.complete == (max(counts) <= number)
        chosen = matches.targets(targets)
        assert len(chosen) == len(matches) == len(rows)
        torch.testing.assert_close(
            chosen.boxes['body'], targets.boxes['body'][persons]
        )
        torch.testing.assert_close(
            matches.take(candidates.boxes),
            candidates.boxes.flatten(0, 1)[rows],
        )


def test_no_person() -> None:
    outputs = [('points', random_candidates(2, 5))]
    (matches,) = assigner().assign(outputs, random_targets([0, 0]))
    assert len(matches) == 0
    assert matches.take(outputs[0][1].boxes).shape == (0, 4)


def test_not_a_number_does_not_stop_matching() -> None:
    """The loss will be NaN and say so; the solver would just refuse."""
    candidates = random_candidates(1, 5)
    candidates.boxes[0, :4] = float('nan')
    (matches,) = assigner().assign(
        [('boxes', candidates)], random_targets([1])
    )
    assert matches.candidates.tolist() == [4]


def test_shape_of_own_costs_is_checked() -> None:
    class Swapped(MatchCost):
        def cost(self, candidates, persons):
            return candidates.boxes.sum(-1).T

    with pytest.raises(ValueError, match=r'Swapped.* \(2, 5\).* \(5, 2\)'):
        Swapped()(random_candidates(2, 5), random_targets([2]))


def test_errors_say_what_to_do() -> None:
    with pytest.raises(ValueError, match="'boxes' must not be empty"):
        BatchHungarianAssigner(dict(boxes=[]))
    with pytest.raises(ValueError, match="stage 'encoder'"):
        assigner().assign(
            [('encoder', random_candidates(1, 5))], random_targets([1])
        )
    candidates = Candidates(torch.zeros(1, 5, 2), torch.zeros(1, 5, 4))
    with pytest.raises(ValueError, match='match_costs'):
        assigner().assign([('points', candidates)], random_targets([1]))
