# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Costs of matching candidates with persons (DETR, Carion et al., Sec. 3.1).

Legend: ``B`` images, ``Q`` candidates of an image, ``N`` persons of all
images, ``C`` classes.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from aios.registry import TASK_UTILS
from aios.structures import cxcywh_to_xyxy, generalized_box_iou
from aios.utils.tensors import tensor_like

from .parts import BODY
from .person_targets import PersonTargets
from .similarity import object_keypoint_similarity


@dataclass(frozen=True)
class Candidates:
    """Predictions of candidates that match costs use.

    Leading dimensions are ``(B, Q)``, or ``(N, Q)`` for the candidates of
    the image of each person.

    Args:
        logits: ``(..., C)``.
        boxes: ``(..., 4)`` cxcywh, fractions of the image.
        points: ``(..., 17, 2)`` keypoints in COCO's order, or ``None``.
    """

    logits: Tensor
    boxes: Tensor
    points: Tensor | None = None

    def of_images(self, index: Tensor) -> Candidates:
        """Candidates ``(N, Q)`` of some images.

        Args:
            index: ``(N,)`` int64.
        """
        points = self.points
        return Candidates(
            self.logits.index_select(0, index),
            self.boxes.index_select(0, index),
            None if points is None else points.index_select(0, index),
        )

    def require_points(self) -> Tensor:
        """The keypoints.

        Raises:
            ValueError: If there are none.
        """
        if self.points is None:
            raise ValueError(
                'this cost needs keypoints, but the output has none; remove '
                "it from the stage's match_costs"
            )
        return self.points


class MatchCost:
    """Base class of match costs.

    Args:
        weight: Factor.
    """

    def __init__(self, weight: float = 1.0) -> None:
        self.weight = weight

    def __call__(
        self, candidates: Candidates, persons: PersonTargets
    ) -> Tensor:
        """Weighted cost.

        Args:
            candidates: ``(N, Q)`` candidates of each person.
            persons: ``N`` persons.

        Returns:
            ``(N, Q)``.

        Raises:
            ValueError: If :meth:`cost` has another shape.
        """
        cost = self.cost(candidates, persons)
        shape = candidates.boxes.shape[:-1]
        if cost.shape != shape:
            raise ValueError(
                f'{type(self).__name__}: the cost must have shape '
                f'{tuple(shape)}, persons and candidates, got '
                f'{tuple(cost.shape)}'
            )
        return self.weight * cost

    def cost(self, candidates: Candidates, persons: PersonTargets) -> Tensor:
        """The cost without its weight."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f'{type(self).__name__}(weight={self.weight})'


@TASK_UTILS.register_module()
class ClassCost(MatchCost):
    """Focal-loss cost of the person's class.

    Args:
        weight: Factor.
        alpha: Weight of positives.
        gamma: Exponent.
        eps: Keeps logarithms finite.
    """

    def __init__(
        self,
        weight: float = 1.0,
        alpha: float = 0.25,
        gamma: float = 2.0,
        eps: float = 1e-8,
    ) -> None:
        super().__init__(weight)
        self.alpha = alpha
        self.gamma = gamma
        self.eps = eps

    def cost(self, candidates: Candidates, persons: PersonTargets) -> Tensor:
        """See the base class."""
        labels = persons.labels[:, None, None]
        logits = candidates.logits
        p = logits.take_along_dim(labels, dim=-1).squeeze(-1).sigmoid()
        negative = (1 - self.alpha) * p**self.gamma * -(1 - p + self.eps).log()
        positive = self.alpha * (1 - p) ** self.gamma * -(p + self.eps).log()
        return positive - negative


@TASK_UTILS.register_module()
class PersonBoxL1Cost(MatchCost):
    """L1 distance of body boxes, as cxcywh."""

    def cost(self, candidates: Candidates, persons: PersonTargets) -> Tensor:
        """See the base class."""
        distance = candidates.boxes - persons.boxes['body'][:, None]
        return distance.abs().sum(-1)


@TASK_UTILS.register_module()
class GIoUCost(MatchCost):
    """Negative generalized IoU of body boxes."""

    def cost(self, candidates: Candidates, persons: PersonTargets) -> Tensor:
        """See the base class."""
        boxes = cxcywh_to_xyxy(persons.boxes['body'])[:, None]
        return -generalized_box_iou(cxcywh_to_xyxy(candidates.boxes), boxes)


@TASK_UTILS.register_module()
class KeypointL1Cost(MatchCost):
    """L1 distance of the visible body keypoints, summed."""

    def cost(self, candidates: Candidates, persons: PersonTargets) -> Tensor:
        """See the base class."""
        points = persons.points['body'][:, None]
        visible = persons.points_visible['body'][:, None]
        distance = (candidates.require_points() - points).abs().sum(-1)
        return (distance * visible).sum(-1)


@TASK_UTILS.register_module()
class OKSCost(MatchCost):
    """One minus the object keypoint similarity of the body."""

    def cost(self, candidates: Candidates, persons: PersonTargets) -> Tensor:
        """See the base class."""
        points = candidates.require_points()
        area = persons.boxes['body'][:, 2:].prod(-1)
        return 1 - object_keypoint_similarity(
            points,
            persons.points['body'][:, None],
            persons.points_visible['body'][:, None],
            area[:, None],
            tensor_like(BODY.sigmas, points),
        )
