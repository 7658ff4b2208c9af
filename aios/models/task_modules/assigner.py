# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""One-to-one assignment of candidates to persons.

Legend: ``B`` images, ``Q`` candidates of an image, ``N`` persons of all
images.
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
from aios.utils.tensors import tensor_like

from .match_costs import Candidates, MatchCost
from .person_targets import PersonTargets

# Replaces NaN and infinite costs; the loss reports such values.
_BAD_COST = 1e5


@dataclass(frozen=True)
class Matches:
    """Matched candidates and persons, in the order of persons.

    Args:
        candidates: ``(M,)`` int64, ``image * Q + candidate``.
        persons: ``(M,)`` int64, indices of persons of the batch.
        complete: Whether all persons have a candidate; then ``persons`` is
            ``0 .. N - 1``.
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
    """Minimum-cost matching in each image, for all outputs at once.

    Costs of each person and the candidates of its image are computed on the
    device and transferred to the host at once.

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
                raise ValueError(
                    f'match_costs of stage {stage!r} must not be empty'
                )

    def cost(
        self, stage: str, candidates: Candidates, persons: PersonTargets
    ) -> Tensor:
        """Total cost ``(N, Q)``.

        Args:
            stage: Stage of the candidates.
            candidates: ``(N, Q)`` candidates of each person.
            persons: ``N`` persons.

        Raises:
            ValueError: If the stage has no costs.
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
        """Assign candidates to persons.

        Args:
            outputs: For each output its stage and candidates ``(B, Q)``.
            targets: Persons of the ``B`` images.

        Returns:
            Matches of each output.  If an image has more persons than
            candidates, some persons are unmatched.
        """
        images = np.repeat(np.arange(len(targets.counts)), targets.counts)
        index = tensor_like(images, targets.labels)
        costs = [
            self.cost(stage, candidates.of_images(index), targets)
            for stage, candidates in outputs
        ]
        pairs = _solve(costs, targets.counts)
        return _to_device(pairs, targets)


def _solve(costs: Sequence[Tensor], counts: Sequence[int]) -> list[np.ndarray]:
    """Solve the problems of all outputs and images.

    Args:
        costs: ``(N, Q)`` of each output.
        counts: Number of persons of each image.

    Returns:
        For each output ``(2, M)`` candidates and persons, see
        :class:`Matches`.
    """
    # The only transfer; the host waits for the device.
    flat = torch.cat([cost.flatten() for cost in costs]).cpu().numpy()
    flat = np.nan_to_num(
        flat, nan=_BAD_COST, posinf=_BAD_COST, neginf=-_BAD_COST
    )
    ends = np.cumsum([cost.numel() for cost in costs])[:-1]
    return [
        _solve_images(part.reshape(cost.shape), counts)
        for part, cost in zip(np.split(flat, ends), costs, strict=True)
    ]


def _solve_images(costs: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    pairs, first = [np.zeros((2, 0), np.int64)], 0
    for image, count in enumerate(counts):
        persons, candidates = linear_sum_assignment(
            costs[first : first + count]
        )
        offset = [image * costs.shape[1]], [first]
        pairs.append(np.stack((candidates, persons)) + np.array(offset))
        first += count
    return np.concatenate(pairs, axis=1)


def _to_device(
    pairs: Sequence[np.ndarray], targets: PersonTargets
) -> list[Matches]:
    device = targets.labels.device
    indices = torch.from_numpy(np.concatenate(pairs, axis=1))
    indices = indices.to(device, non_blocking=True)
    sizes = [pair.shape[1] for pair in pairs]
    return [
        Matches(part[0], part[1], complete=size == len(targets))
        for part, size in zip(indices.split(sizes, dim=1), sizes, strict=True)
    ]
