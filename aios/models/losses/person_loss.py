# Copyright (c) AiOS-MM contributors. Licensed under Apache-2.0.
"""Base class of the losses of matched persons.

Legend: ``M`` matched persons of a batch, ``K`` keypoints of a part.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mmengine.model import BaseModule
from torch import Tensor

from aios.models.heads.outputs import LayerOutputs, SMPLXParams
from aios.models.task_modules import Matches, PersonTargets


@dataclass(frozen=True)
class AvgFactor:
    """Divisor of a sum over persons.

    Args:
        count: Scalar; if it is zero, the loss is zero.
        eps: Added to the count.
    """

    count: Tensor
    eps: float = 0.0


@dataclass(frozen=True)
class PersonPredictions:
    """Predictions of a decoder layer for the matched persons.

    Args:
        boxes: Box tokens to ``(M, 4)`` cxcywh, fractions of the image.
        points: Keypoint tokens to ``(M, K, 2)``.
        smplx: SMPL-X parameters ``(M, ...)``, if the layer has any.
        joints3d: ``(M, 137, 3)`` meters without translation, if needed.
    """

    boxes: Mapping[str, Tensor]
    points: Mapping[str, Tensor]
    smplx: SMPLXParams | None = None
    joints3d: Tensor | None = None

    @classmethod
    def gather(
        cls,
        layer: LayerOutputs,
        matches: Matches,
        smplx: SMPLXParams | None = None,
        joints3d: Tensor | None = None,
    ) -> PersonPredictions:
        """Gather the matched persons from the outputs of a layer.

        Args:
            layer: Outputs, at least float32.
            matches: The matches.
            smplx: Parameters of the matched persons.
            joints3d: Joints of the matched persons.
        """
        return cls(
            {name: matches.take(x) for name, x in layer.boxes.items()},
            {name: matches.take(x) for name, x in layer.points.items()},
            smplx,
            joints3d,
        )


class PersonLoss(BaseModule):
    """A group of losses of matched persons.

    Losses have one value per person; the criterion averages them.
    """

    terms: tuple[str, ...] = ()
    """Names of the losses, without the prefix ``loss_``."""

    needs_joints: bool = False
    """Whether ``predictions.joints3d`` is used; bodies are only posed if such
    a loss has a weight."""

    def forward(
        self,
        predictions: PersonPredictions,
        targets: PersonTargets,
        terms: Collection[str],
    ) -> dict[str, Tensor]:
        """Requested losses, as far as the predictions allow.

        Args:
            predictions: Predictions of ``M`` persons.
            targets: Targets of the same persons.
            terms: The :attr:`terms` that have a weight.

        Returns:
            Terms to ``(M,)``.
        """
        raise NotImplementedError

    def avg_factors(self, targets: PersonTargets) -> dict[str, AvgFactor]:
        """Divisor of each loss.

        Args:
            targets: All persons of the batch.

        Returns:
            All terms to their divisors.
        """
        raise NotImplementedError
