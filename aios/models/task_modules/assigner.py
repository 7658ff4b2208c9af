# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""One-to-one assignment of candidates to persons.

Legend: ``B`` images, ``Q`` candidates and ``n`` persons of an image,
``N`` persons of all images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from aios.registry import TASK_UTILS

from .match_costs import Candidates, MatchCost
from .person_targets import PersonTargets

# What stands for a cost that is not a number; the loss will tell about it.
_BAD_COST = 1e5


@dataclass(frozen=True)
class Matches:
    """Which candidate stands for which person, in the order of persons.

    Args:
        candidates: ``(M,)`` int64, ``image * Q + candidate``.
        persons: ``(M,)`` int64, into the persons of the batch.
        complete: Every person has a candidate, so ``persons`` counts
            upwards from 0 and ``M = N``.
    """

    candidates: Tensor
    persons: Tensor
    complete: bool

    def __len__(self) -> int:
        return len(self.persons)

    def take(self, predictions: Tensor) -> Tensor:
        """The matched rows ``(M, ...)`` of ``(B, Q, ...)``."""
        return predictions.flatten(0, 1).index_select(0, self.candidates)

    def targets(self, targets: PersonTargets) -> PersonTargets:
        """The matched persons."""
        return targets if self.complete else targets.select(self.persons)


@TASK_UTILS.register_module()
class BatchHungarianAssigner:
    """Least total cost in each image, for all outputs of a step at once.

    Costs are computed for each image by itself, on the device, and all of
    them come to the host in one transfer.

    Args:
        match_costs: For each stage (``encoder`` or the name of a token
            layout) the configs of its costs, which are added.

    Raises:
        ValueError: If a stage has no cost.
    """

    def __init__(
        self, match_costs: Mapping[str, Sequence[dict[str, Any]]]
    ) -> None:
        self.match_costs: dict[str, tuple[MatchCost, ...]] = {
            stage: tuple(TASK_UTILS.build(cost) for cost in costs)
            for stage, costs in match_costs.items()
        }
        for stage, costs in self.match_costs.items():
            if not costs:
                raise ValueError(f'match_costs of stage {stage!r} are empty')

    def cost(
        self, stage: str, candidates: Candidates, persons: PersonTargets
    ) -> Tensor:
        """Total cost ``(Q, n)`` in one image.

        Args:
            stage: Where the candidates come from.
            candidates: Of the image.
            persons: Of the image.

        Raises:
            ValueError: If nothing is said about the stage.
        """
        if stage not in self.match_costs:
            raise ValueError(
                f'no match_costs for stage {stage!r}, only for '
                f'{tuple(self.match_costs)}'
            )
        costs = [cost(candidates, persons) for cost in self.match_costs[stage]]
        return torch.stack(costs).sum(0)

    @torch.no_grad()
    def assign(
        self,
        outputs: Sequence[tuple[str, Candidates]],
        targets: PersonTargets,
    ) -> list[Matches]:
        """Assign.

        Args:
            outputs: For each output its stage and candidates ``(B, Q)``.
            targets: Persons of the ``B`` images.

        Returns:
            For each output who is matched.  An image with more persons than
            candidates leaves some persons without.
        """
        images = [
            (image, persons)
            for image, persons in enumerate(targets.per_image())
            if len(persons)
        ]
        costs = [
            self.cost(stage, candidates.image(image), persons)
            for stage, candidates in outputs
            for image, persons in images
        ]
        solved = iter(_solve(costs))
        starts = np.cumsum((0, *targets.counts))
        pairs = []
        for _, candidates in outputs:
            num_candidates = candidates.logits.shape[1]
            chosen = [np.zeros((2, 0), np.int64)]
            for image, _ in images:
                offset = image * num_candidates, starts[image]
                chosen.append(next(solved) + np.array(offset)[:, None])
            pairs.append(np.concatenate(chosen, axis=1))
        return _to_device(pairs, targets)


def _solve(costs: Sequence[Tensor]) -> list[np.ndarray]:
    """Solve ``(Q, n)`` problems.

    Returns:
        For each ``(2, min(Q, n))`` candidates and persons, by person.
    """
    if not costs:
        return []
    # The one transfer: here the host waits for the device.
    flat = torch.cat([cost.flatten() for cost in costs]).cpu().numpy()
    flat = np.nan_to_num(
        flat, nan=_BAD_COST, posinf=_BAD_COST, neginf=-_BAD_COST
    )
    solutions, start = [], 0
    for cost in costs:
        matrix = flat[start : start + cost.numel()].reshape(cost.shape)
        start += cost.numel()
        persons, candidates = linear_sum_assignment(matrix.T)
        solutions.append(np.stack((candidates, persons)))
    return solutions


def _to_device(
    pairs: Sequence[np.ndarray], targets: PersonTargets
) -> list[Matches]:
    device = targets.labels.device
    numbers = torch.from_numpy(np.concatenate(pairs, axis=1))
    numbers = numbers.to(device, non_blocking=True)
    sizes = [pair.shape[1] for pair in pairs]
    return [
        Matches(part[0], part[1], complete=size == len(targets))
        for part, size in zip(numbers.split(sizes, dim=1), sizes, strict=True)
    ]
